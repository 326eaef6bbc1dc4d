// clang-tidy over the native sources, skipping every file that passed before with the same text, headers, checks and
// compiler flags. Needs build-tests/compile_commands.json (the set-up makes it).
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const passedFolder = ".setup/clang-tidy";
mkdirSync(passedFolder, { recursive: true });
const passedBefore = new Set(readdirSync(passedFolder));
const commands = new Map(
  JSON.parse(readFileSync("build-tests/compile_commands.json", "utf8")).map((entry) => [entry.file, entry.command]),
);
const tool = execFileSync("clang-tidy", ["--version"], { encoding: "utf8" }) + readFileSync(".clang-tidy", "utf8");

/** The text of a source and of every project header it reaches. */
function closure(path, seen = new Map()) {
  if (seen.has(path) || !existsSync(path)) return seen;
  const text = readFileSync(path, "utf8");
  seen.set(path, text);
  for (const [, name] of text.matchAll(/^#include "([^"]+)"/gm)) {
    closure(join("native", name), seen);
    closure(join("test/native", name), seen);
  }
  return seen;
}

function key(path, command) {
  // Without the checkout's own path: what passed in one checkout passed in all.
  const hash = createHash("sha256").update(tool).update(command.replaceAll(process.cwd(), "."));
  for (const [name, text] of closure(path)) hash.update(name).update(text);
  return hash.digest("hex");
}

const root = process.cwd();
const jobs = [];
const current = new Set();
for (const [file, command] of commands) {
  const path = file.startsWith(`${root}/`) ? file.slice(root.length + 1) : file;
  if (!path.startsWith("native/")) continue;
  const name = key(path, command);
  current.add(name);
  if (!passedBefore.has(name)) jobs.push({ path, name });
}
for (const name of passedBefore) if (!current.has(name)) rmSync(join(passedFolder, name));

let failed = 0;
function lint({ path, name }) {
  return new Promise((resolve) => {
    const child = spawn("clang-tidy", ["-p", "build-tests", "--quiet", "--warnings-as-errors=*", path]);
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      if (!/warnings? generated|Suppressed|header-filter/.test(chunk)) output += chunk;
    });
    child.on("close", (code) => {
      if (code === 0) writeFileSync(join(passedFolder, name), "");
      else {
        failed += 1;
        process.stdout.write(`${path}:\n${output}`);
      }
      resolve();
    });
  });
}
async function worker() {
  for (let job = jobs.shift(); job; job = jobs.shift()) await lint(job);
}
await Promise.all(Array.from({ length: availableParallelism() }, worker));
process.exit(failed === 0 ? 0 : 1);
