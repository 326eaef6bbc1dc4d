// Which native folder may include which: the include graph is the architecture (docs/architecture.md).
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { describe, it } from "node:test";
import { files } from "./tree.js";

/** Arrows point down. A folder that is not listed here fails the test: decide where it stands. */
const MAY_INCLUDE: Readonly<Record<string, readonly string[]>> = {
  base: [],
  net: ["base"],
  fwd: ["base", "net"],
  pkt: ["base", "net"],
  path: ["base", "net", "fwd", "pkt"],
  port: ["base", "net", "pkt", "bpf", "xdp"],
  bpf: [],
  xdp: ["base", "net", "pkt", "bpf"],
  steer: ["base", "fwd", "bpf", "netlink"],
  netlink: ["base", "net"],
  systemd: ["base"],
  capture: ["base", "pkt"],
  confine: ["base"],
  engine: ["base", "net", "fwd", "pkt", "path", "port", "capture"],
  plane: ["base", "net", "fwd", "pkt", "path", "port", "xdp", "steer", "engine", "capture", "netlink"],
  // Programs of their own: what lab, tests and benchmarks send and receive with.
  tools: ["base", "net"],
  library: ["base", "net", "fwd", "pkt", "path", "port", "bpf", "steer", "engine", "capture"],
  addon: ["base", "net", "fwd", "pkt", "netlink", "engine", "plane", "capture", "library", "confine", "systemd"],
};

/** Folders that decide without asking the kernel, a clock or another thread. */
const PURE = ["net", "fwd", "pkt", "path"];
const IMPURE_HEADER =
  /^(sys\/|linux\/|net\/|netinet\/|arpa\/|bpf\/|unistd\.h|fcntl\.h|poll\.h|pthread\.h|time\.h|ctime|chrono|thread|mutex|iostream|fstream)/;
/** The packet path does not allocate, log or lock, so it needs none of these. */
const NOT_ON_THE_PATH = /^(cstdio|stdio\.h|iostream|sstream|format|vector|string|map|unordered_map|deque|list|mutex)$/;
/** One file, one reason each. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "native/pkt/frame_pool.cc sys/mman.h": "frames live in one mapping, made once when the pool is",
};

const sources = files(/^native\/.*\.(h|cc|c|def)$/);
const includes = sources.flatMap(({ path, text }) =>
  [...text.matchAll(/^\s*#\s*include\s+([<"])([^>"]+)[>"]/gm)].map(([, kind, header]) => ({
    path,
    folder: path.split("/")[1] ?? "",
    header: header as string,
    own: kind === '"',
  })),
);

describe("native includes", () => {
  it("are found", () => assert.ok(includes.length > 50));

  it("go only from upper folders to lower ones", () => {
    for (const { path, folder, header, own } of includes) {
      if (!own) continue;
      const allowed = MAY_INCLUDE[folder];
      assert.ok(
        allowed,
        `${path}: folder native/${folder} has no place in the include rules (${import.meta.filename})`,
      );
      const target = dirname(header);
      assert.ok(
        target === folder || allowed.includes(target.split("/")[0] ?? ""),
        `${path} must not include ${header}`,
      );
    }
  });

  it("name project headers from native/, never relative to the file", () => {
    for (const { path, header, own } of includes) {
      if (own) assert.ok(!header.startsWith(".") && header.includes("/"), `${path}: write "folder/${header}"`);
    }
  });

  it("let napi.h in only under native/addon", () => {
    for (const { path, folder, header } of includes) {
      if (/^(napi|node_api|js_native_api|uv)/.test(header)) assert.equal(folder, "addon", `${path} includes ${header}`);
    }
  });

  it("keep the kernel, the clock and threads out of the pure folders", () => {
    for (const { path, folder, header, own } of includes) {
      if (own || !PURE.includes(folder) || `${path} ${header}` in EXCEPTIONS) continue;
      assert.doesNotMatch(header, IMPURE_HEADER, `${path} is in a pure folder`);
    }
  });

  it("keep allocation, logging and locks out of the packet path", () => {
    for (const { path, folder, header } of includes) {
      if (folder === "path") assert.doesNotMatch(header, NOT_ON_THE_PATH, `${path} is on the packet path`);
    }
  });

  it("let the contract of ports know packets only", () => {
    for (const { path, header, own } of includes) {
      if (own && path === "native/port/port.h") assert.match(header, /^(pkt|base)\//, path);
    }
  });

  it("give the engine ports already opened: it knows the contract, no kind of port", () => {
    for (const { path, folder, header } of includes) {
      if (folder === "engine" && header.startsWith("port/")) assert.equal(header, "port/port.h", path);
    }
  });

  it("have no exception that nothing needs", () => {
    const used = new Set(includes.map(({ path, header }) => `${path} ${header}`));
    for (const exception of Object.keys(EXCEPTIONS)) assert.ok(used.has(exception), `${exception} is gone`);
  });
});
