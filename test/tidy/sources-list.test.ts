// native/sources.json is the one list of sources; both builds read it. BPF programs carry their licence. Features have one list too.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PLANE_FEATURES } from "../../src/config/plane-limits.js";
import { files, read } from "./tree.js";

const { defines: _defines, ...listed } = JSON.parse(read("native/sources.json")) as Record<
  "core" | "addon" | "bpf" | "defines" | "udp_load" | "tcp_check",
  string[]
>;

describe("native/sources.json", () => {
  it("lists every native source exactly once, in order", () => {
    for (const [key, paths] of Object.entries(listed)) {
      assert.deepEqual(paths, [...new Set(paths)].sort(), `${key} is sorted and has no double`);
    }
    const present = files(/^native\/.*\.(cc|c)$/).map(({ path }) => path);
    assert.deepEqual(Object.values(listed).flat().sort(), present);
  });

  it("keeps Node out of the core: addon sources lie in native/addon and nowhere else", () => {
    for (const path of listed.addon) assert.match(path, /^native\/addon\//);
    for (const path of listed.core) assert.doesNotMatch(path, /^native\/addon\//);
    for (const path of listed.bpf) assert.match(path, /^native\/bpf\/.*\.bpf\.c$/);
  });

  it("is read by both builds, which name no source themselves", () => {
    for (const build of ["binding.gyp", "CMakeLists.txt"]) {
      assert.match(read(build), /native\/sources\.json/);
      assert.doesNotMatch(read(build), /(?<!test\/)native\/\S+\.cc\b/);
    }
  });
});

describe("BPF programs", () => {
  it("state the licence that the kernel asks for", () => {
    for (const { path, lines } of files(/^native\/bpf\/.*\.(c|h)$/)) {
      assert.match(lines[0] ?? "", /SPDX-License-Identifier: \(GPL-2\.0-only OR BSD-2-Clause\)$/, path);
    }
  });
});

describe("package-lock.json", () => {
  interface LockedPackage {
    readonly dependencies?: Readonly<Record<string, string>>;
    readonly optionalDependencies?: Readonly<Record<string, string>>;
    readonly resolved?: string;
  }
  const locked = (JSON.parse(read("package-lock.json")) as { packages: Record<string, LockedPackage> }).packages;

  /** Where Node would find `name` from `from`: the nearest node_modules upwards. */
  function found(from: string, name: string): boolean {
    for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
      if (`${folder}${folder === "" ? "" : "/"}node_modules/${name}` in locked) return true;
      if (folder === "") return false;
    }
  }

  it("holds every package that another one names, for all platforms, as npm ci wants it", () => {
    const missing = Object.entries(locked).flatMap(([path, { dependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies })
        .filter((name) => !found(path, name))
        .map((name) => `${name} for ${path}`),
    );
    assert.deepEqual(missing, []);
  });

  it("names no host to download from: the machine's own registry setting decides", () => {
    for (const [path, { resolved }] of Object.entries(locked)) assert.equal(resolved, undefined, path);
  });
});

describe("PLANE_FEATURES", () => {
  it("are what the native side asks for, and each is asked for", () => {
    const asked = files(/^native\/.*\.cc$/).flatMap(({ text }) => [...text.matchAll(/Disabled\("([a-z0-9-]+)"\)/g)]);
    assert.deepEqual([...new Set(asked.map(([, name]) => name))].sort(), [...PLANE_FEATURES]);
  });
});
