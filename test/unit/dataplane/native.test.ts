// Where the addon is looked for, and what is said when it cannot be loaded.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { nativePath } from "../../../src/config/native-path.js";
import { loadNative, nativeCandidates } from "../../../src/dataplane/native.js";

const root = mkdtempSync(join(tmpdir(), "ripstop-native-"));
after(() => rmSync(root, { recursive: true }));

test("an explicit path is the only candidate", () => {
  assert.deepEqual(nativeCandidates({ path: "/a/b.node", root }), ["/a/b.node"]);
  assert.equal(nativePath({ RIPSTOP_NATIVE_PATH: "/a/b.node" }), "/a/b.node");
  assert.equal(nativePath({ RIPSTOP_NATIVE_PATH: "" }), undefined);
});

test("prebuilt binaries come before local builds", () => {
  assert.deepEqual(nativeCandidates({ root }), [
    join(root, `prebuilds/linux-${process.arch}/ripstop.node`),
    join(root, "build/Release/ripstop.node"),
    join(root, "build-cmake/Release/ripstop.node"),
  ]);
});

test("when nothing loads, the error lists every path, the architecture and the remedy", () => {
  mkdirSync(join(root, "build/Release"), { recursive: true });
  writeFileSync(join(root, "build/Release/ripstop.node"), "not an ELF file");
  assert.throws(
    () => loadNative({ root }),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, "NATIVE_LOAD_FAILED");
      for (const path of nativeCandidates({ root })) assert.ok(error.message.includes(path), error.message);
      assert.match(error.message, new RegExp(`linux-${process.arch}`));
      assert.match(error.message, /prebuilds\S+ \(no such file\)/);
      assert.match(error.message, /build\/Release\/ripstop\.node \(.+\)/);
      assert.match(error.message, /npm run build:addon/);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );
});
