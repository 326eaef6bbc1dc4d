// Another version of Ripstop beside this one: the same code under another version number, as an upgrade or a rollback would
// find it. The addon and the packages are shared.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export interface Installation {
  readonly version: string;
  /** bin/ripstop of it. */
  readonly program: string;
  remove(): void;
}

export function installAs(version: string): Installation {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-other-"));
  for (const part of ["bin", "dist/src"]) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  for (const part of ["build", "node_modules"]) symlinkSync(join(ROOT, part), join(folder, part));
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as object;
  writeFileSync(join(folder, "package.json"), JSON.stringify({ ...manifest, version }));
  return { version, program: join(folder, "bin", "ripstop"), remove: () => rmSync(folder, { recursive: true }) };
}
