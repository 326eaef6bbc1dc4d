// The version in package.json, which is the only place that states it.
import { readFileSync } from "node:fs";

let known: string | null = null;

/**
 * E.g. "0.1.0", from package.json beside dist/. Read once: an upgrade changes the file under a running process, which stays what
 * it is.
 */
export function ripstopVersion(): string {
  known ??= readVersion();
  return known;
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json beside dist/ states no version; the installation is damaged, install ripstop again");
}
