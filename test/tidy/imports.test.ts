// Which TypeScript folder may import which, and which files may touch the process, the addon or other programs.
import assert from "node:assert/strict";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import ts from "typescript";
import { files, withoutCommentsAndStrings } from "./tree.js";

/** Folders that may import nothing but these (and themselves). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  addr: ["lib"],
  lease: ["lib", "addr"],
};
/** Folders that must never import these. */
const MUST_NOT_IMPORT: Readonly<Record<string, readonly string[]>> = {
  config: ["agent", "backend", "cli", "dataplane", "host", "lab", "store", "subnet"],
  store: ["agent", "backend", "cli", "dataplane", "host", "lab"],
  subnet: ["agent", "backend", "cli", "dataplane", "lab"],
  host: ["agent", "backend", "cli", "lab", "store", "subnet"],
  dataplane: ["agent", "backend", "cli", "lab", "store", "subnet"],
  backend: ["agent", "cli", "lab", "store"],
  agent: ["cli", "lab"],
  library: ["agent", "cli", "lab", "subnet"],
  observe: ["agent", "backend", "cli", "lab", "store", "subnet"],
};
/** Who may start other programs, and which. A folder ends with a slash. */
const MAY_SPAWN: Readonly<Record<string, string>> = {
  "src/agent/dataplane-process.ts": "the data plane, a process of its own",
  "src/host/command.ts": "tools without a library: iptables, nft, wg, commands of the extension backend",
  "src/store/kube/credentials.ts": "the reader of Kubernetes credentials, whose library is large",
  "src/lab/": "ip, ping, iperf3 and the nodes' programs, inside the lab's namespaces",
};

const sources = files(/^src\/.*\.ts$/);
const folderOf = (path: string) => (path.split("/").length > 2 ? (path.split("/")[1] ?? "") : "");

const imports = sources.flatMap(({ path, text }) =>
  ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => ({
    path,
    folder: folderOf(path),
    target: fileName.startsWith(".") ? normalize(join(dirname(path), fileName)).replace(/\.js$/, ".ts") : fileName,
  })),
);

describe("TypeScript imports", () => {
  it("are found", () => assert.ok(imports.length > 20));

  it("go only from upper folders to lower ones", () => {
    for (const { path, folder, target } of imports) {
      if (!target.startsWith("src/")) continue;
      const to = folderOf(target);
      const only = MAY_IMPORT[folder];
      if (only) assert.ok(to === folder || only.includes(to), `${path} must not import ${target}`);
      assert.ok(!MUST_NOT_IMPORT[folder]?.includes(to), `${path} must not import ${target}`);
      assert.notEqual(target, "src/main.ts", `${path}: nothing imports the entry point`);
    }
  });

  it("let only the listed files start other programs", () => {
    const spawning = imports.filter(({ target }) => /^(node:)?child_process$/.test(target)).map(({ path }) => path);
    const listed = (path: string) =>
      Object.keys(MAY_SPAWN).some((one) => path === one || (one.endsWith("/") && path.startsWith(one)));
    assert.deepEqual(
      spawning.filter((path) => !listed(path)),
      [],
    );
  });

  it("let only dataplane/native.ts load the addon", () => {
    for (const { path, text } of sources) {
      if (path === "src/dataplane/native.ts") continue;
      assert.doesNotMatch(text, /createRequire|process\.dlopen|\brequire\(/, path);
    }
  });
});

describe("the process", () => {
  it("is left alone: only config/ reads the environment, only main.ts ends it", () => {
    for (const { path, text } of sources) {
      const code = withoutCommentsAndStrings(text);
      if (folderOf(path) !== "config") assert.doesNotMatch(code, /process\s*\.\s*(env|argv)\b/, `${path} reads it`);
      if (path !== "src/main.ts")
        assert.doesNotMatch(code, /process\s*\.\s*(exit|abort|reallyExit)\b\s*\(/, `${path} ends it`);
    }
  });

  it("is not touched by an import: no file acts at its top level", () => {
    for (const { path, text } of sources) {
      const parsed = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023);
      const acting = parsed.statements.find((statement) => ts.isExpressionStatement(statement));
      assert.equal(acting && text.slice(acting.pos, acting.end).trim(), undefined, `${path} acts when it is imported`);
    }
  });
});
