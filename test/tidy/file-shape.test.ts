// How long files and functions are, how files open, what names they carry, which notes they may hold.
import assert from "node:assert/strict";
import { basename } from "node:path";
import { describe, it } from "node:test";
import ts from "typescript";
import { files, type SourceFile } from "./tree.js";

const code = files(/\.(ts|cc|h|c|mjs|cjs|sh)$|^bin\/(ripstop|flanneld)$|^\.ci\/run$/);
const text = files(/\.(ts|cc|h|c|def|mjs|cjs|sh|md|json|yaml|yml|txt|map|gyp)$|^CMakeLists\.txt$|^\.npmrc$/);
const LINES_MAX = 400;
const TEST_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;

/** Line counts of functions. C++ is clang-formatted, so a function at namespace level opens and closes at column 0. */
function functionLengths({ path, text: source, lines }: SourceFile): Array<{ name: string; length: number }> {
  const found: Array<{ name: string; length: number }> = [];
  if (path.endsWith(".ts")) {
    const parsed = ts.createSourceFile(path, source, ts.ScriptTarget.ES2023, true);
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && "body" in node && node.body) {
        const first = parsed.getLineAndCharacterOfPosition(node.getStart()).line;
        const last = parsed.getLineAndCharacterOfPosition(node.end).line;
        found.push({ name: `line ${first + 1}`, length: last - first + 1 });
      }
      ts.forEachChild(node, visit);
    };
    visit(parsed);
    return found;
  }
  let start = -1;
  for (const [index, line] of lines.entries()) {
    if (/^[A-Za-z].*[({].*\{$|^[A-Za-z ].*\) .*\{$/.test(line) && !/^(namespace|struct|class|enum|union)\b/.test(line))
      start = index;
    if (start >= 0 && line.startsWith("}")) {
      found.push({ name: `line ${start + 1}`, length: index - start + 1 });
      start = -1;
    }
  }
  return found;
}

describe("every file", () => {
  it("stays short enough to be read in one sitting", () => {
    for (const { path, lines } of code) {
      const most = path.startsWith("test/") ? TEST_LINES_MAX : LINES_MAX;
      assert.ok(lines.length <= most, `${path} has ${lines.length} lines; split it by verb (at most ${most})`);
    }
  });

  it("opens with a comment that says what it is", () => {
    const silent = code.filter(({ lines }) => {
      const first = lines.find((line) => !line.startsWith("#!") && !/SPDX/.test(line)) ?? "";
      return !/^(\/\/|\/\*|#) ?\S/.test(first);
    });
    assert.deepEqual(
      silent.map(({ path }) => path),
      [],
    );
  });

  it("has a name in the style of its language, and never a name that says nothing", () => {
    for (const { path } of code) {
      const stem = basename(path).replace(/(\.test|\.bpf|\.d)?\.[a-z]+$/, "");
      if (/\.(ts|mjs|cjs)$/.test(path)) assert.match(stem, /^[a-z0-9]+(-[a-z0-9]+)*$/, `${path}: kebab-case`);
      if (/\.(cc|h|c)$/.test(path)) assert.match(stem, /^[a-z0-9]+(_[a-z0-9]+)*$/, `${path}: snake_case`);
      assert.doesNotMatch(
        path,
        /(^|\/)(utils?|helpers?|common|misc|core)(\/|\.|$)/,
        `${path}: name it for what it does`,
      );
    }
  });

  it("marks open work with a kind, and a silenced check with a reason", () => {
    for (const { path, lines } of text) {
      for (const [index, line] of lines.entries()) {
        const place = `${path}:${index + 1}`;
        if (path === "test/tidy/file-shape.test.ts") continue;
        assert.doesNotMatch(line, /\b(FIXME|XXX|HACK)\b/, place);
        assert.doesNotMatch(
          line,
          /(\/\/|#|\*)\s*TODO(?!\((perf|compat|test|cleanup)\): )/,
          `${place}: TODO(perf|compat|test|cleanup): ...`,
        );
        if (/NOLINT(?!END)/.test(line)) assert.match(line, /NOLINT\w*\([^)]+\): \S/, `${place}: NOLINT(check): reason`);
        if (/eslint-disable/.test(line)) assert.match(line, / -- \S/, `${place}: -- reason`);
      }
    }
  });

  it("names no package registry or download host", () => {
    const hosts = [
      "registry.npmjs",
      "yarnpkg",
      "npmmirror",
      "unpkg",
      "jsdelivr",
      "deb.debian",
      "nodejs.org/d",
      "pypi",
      "goproxy",
    ];
    for (const { path, text: content } of [...text, ...files(/^(package-lock\.json|\.ci\/run|scripts\/.*)$/)]) {
      if (path === "test/tidy/file-shape.test.ts") continue;
      for (const host of hosts) assert.ok(!content.includes(host), `${path} names ${host}`);
    }
  });
});

describe("every function", () => {
  it("fits on a screen or two", () => {
    for (const file of files(/^(src|native)\/.*\.(ts|cc|c|h)$/)) {
      for (const { name, length } of functionLengths(file)) {
        assert.ok(
          length < FUNCTION_LINES_MAX,
          `${file.path} ${name}: ${length} lines; at most ${FUNCTION_LINES_MAX - 1}`,
        );
      }
    }
  });
});
