// The addon can be built in three ways: node-gyp with the headers beside Node (what set-up does), node-gyp with
// node-api-headers, and cmake-js. All from native/sources.json, all without network, all with the same result.
// First: it builds the addon three times over.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import type { Binding } from "../../src/dataplane/binding.js";

const root = resolve(import.meta.dirname, "../../..");
const primary = join(root, "build/Release/ripstop.node");
const elsewhere = mkdtempSync(join(tmpdir(), "ripstop-builds-"));
after(() => rmSync(elsewhere, { recursive: true, force: true }));
// Each builds the whole addon once more: minutes that `npm test` on a new machine does not have.
const skip =
  process.env["RIPSTOP_ALL_BUILDS"] === "1" ? false : "builds the addon once more; .ci/run does (RIPSTOP_ALL_BUILDS=1)";

/** In a network namespace without any interface a download cannot succeed; and the tests that run beside it go first. */
function buildOffline(folder: string, command: readonly string[], environment: NodeJS.ProcessEnv = {}): void {
  const last = 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n19 "$@"';
  execFileSync("unshare", ["--net", "sh", "-c", last, "sh", process.execPath, ...command], {
    cwd: folder,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

function copyOfTheSources(name: string): string {
  const folder = join(elsewhere, name);
  for (const part of ["package.json", "binding.gyp", "CMakeLists.txt", "native", "scripts"]) {
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function load(path: string): Binding {
  return createRequire(import.meta.url)(path) as Binding;
}

function exportedSymbols(path: string): string[] {
  const lines = execFileSync("nm", ["-D", "--defined-only", path], { encoding: "utf8" }).trim().split("\n");
  return lines.map((line) => line.split(" ").at(-1) ?? "").sort();
}

function assertSameAsPrimary(path: string): void {
  const [ours, other] = [load(primary), load(path)];
  assert.deepEqual(Object.keys(other).sort(), Object.keys(ours).sort());
  assert.equal(other.borderVersion, ours.borderVersion);
  assert.deepEqual(other.counterLayout, ours.counterLayout);
  assert.deepEqual(other.dropReasons, ours.dropReasons);
  assert.deepEqual(exportedSymbols(path), exportedSymbols(primary));
}

describe("the builds of the addon", () => {
  it("exports only what Node-API needs", () => {
    assert.deepEqual(exportedSymbols(primary), ["napi_register_module_v1", "node_api_module_get_api_version_v1"]);
  });

  it("needs no shared library but libc and what belongs to it", () => {
    const lines = execFileSync("ldd", [primary], { encoding: "utf8" }).trim().split("\n");
    const names = lines.map((line) => (line.trim().split(" ")[0] ?? "").replace(/^.*\//, ""));
    for (const name of names) assert.match(name, /^(linux-vdso|libc|libm|libpthread|ld-linux)[.-]/);
  });

  it("gives the same addon with cmake-js, without network", { skip }, () => {
    const folder = copyOfTheSources("cmake");
    const cmakeJs = join(root, "node_modules/cmake-js/bin/cmake-js");
    buildOffline(folder, [cmakeJs, "build", "-O", "build-cmake"]);
    assertSameAsPrimary(join(folder, "build-cmake/Release/ripstop.node"));
  });

  it("gives the same addon with the headers of node-api-headers, without network", { skip }, () => {
    const folder = copyOfTheSources("headers");
    buildOffline(folder, ["scripts/build-addon.mjs"], { RIPSTOP_NODE_API_HEADERS: "1" });
    assertSameAsPrimary(join(folder, "build/Release/ripstop.node"));
  });

  it("gives the same addon with the compiler alone, as an installed package builds it, without network", {
    skip,
  }, () => {
    const folder = copyOfTheSources("plain");
    rmSync(join(folder, "node_modules"));
    for (const name of ["node-addon-api", "node-api-headers"])
      cpSync(join(root, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
    buildOffline(folder, ["scripts/build-addon.mjs"]);
    assertSameAsPrimary(join(folder, "build/Release/ripstop.node"));
  });
});
