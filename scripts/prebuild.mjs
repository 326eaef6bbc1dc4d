// npm run build:prebuild: prebuilds/PLATFORM-ARCH/ripstop.node out of build/Release, stripped, for the package. Runs by itself
// before `npm pack` (prepack), and --remove after it (postpack), so that a working copy never loads an old one.
// Refuses an addon that would not load on glibc 2.28, the oldest that Node 20 itself runs on.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const GLIBC_FLOOR = [2, 28];
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "prebuilds", `${process.platform}-${process.arch}`);
const addon = join(root, "build/Release/ripstop.node");

function refuse(reason) {
  process.stderr.write(`prebuild: ${reason}\n`);
  process.exit(1);
}

function newestGlibc(path) {
  const table = execFileSync("objdump", ["-T", path], { encoding: "utf8", maxBuffer: 1 << 26 });
  const versions = [...table.matchAll(/\(?GLIBC_(\d+)\.(\d+)(?:\.\d+)?\)?\s+(\S+)/g)].map(([, major, minor, name]) => ({
    version: [Number(major), Number(minor)],
    name,
  }));
  return versions.sort((a, b) => b.version[0] - a.version[0] || b.version[1] - a.version[1])[0];
}

if (process.argv.includes("--remove")) {
  rmSync(join(root, "prebuilds"), { recursive: true, force: true });
} else {
  if (!existsSync(addon)) refuse(`${addon} is not built; run npm run build`);
  const { version, name } = newestGlibc(addon);
  if (process.arch === "x64" && (version[0] > GLIBC_FLOOR[0] || version[1] > GLIBC_FLOOR[1])) {
    refuse(
      `${name} needs glibc ${version.join(".")}, newer than ${GLIBC_FLOOR.join(".")}; see native/addon/glibc_floor.cc`,
    );
  }
  mkdirSync(folder, { recursive: true });
  const made = join(folder, "ripstop.node");
  copyFileSync(addon, made);
  execFileSync("strip", ["--strip-unneeded", made]);
}
