// Every way a packet can end is reached by the sources and provoked by a test: a reason that nothing counts is a lie in the
// docs, one that no test has seen may never have worked.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { files, read } from "./tree.js";

/** Names reasons to tell the kernel's verdict apart, not to provoke them. */
const NO_PROOF = "test/native/kernel_vxlan_test.cc";

const reasons = [...read("native/pkt/drop_reason.def").matchAll(/^X\((k\w+), "(\w+)"/gm)].map(([, name, label]) => ({
  name: name as string,
  label: label as string,
}));
const sources = files(/^native\/.*\.(cc|h)$/);
const nativeTests = files(/^test\/native\/.*_test\.cc$/).filter(({ path }) => path !== NO_PROOF);
const otherTests = files(/^test\/(netns|library|addon)\/.*\.test\.ts$/);

describe("drop reasons", () => {
  it("are found", () => assert.ok(reasons.length > 30));

  it("are all counted somewhere", () => {
    const unused = reasons.filter(({ name }) => !sources.some(({ text }) => text.includes(`DropReason::${name}`)));
    assert.deepEqual(unused, []);
  });

  it("are all provoked by a test", () => {
    const unproved = reasons.filter(({ name, label }) => {
      const inTypescript = new RegExp(`drops\\.${label}\\b|drops\\["${label}"\\]`);
      return (
        !nativeTests.some(({ text }) => new RegExp(`DropReason::${name}\\b`).test(text)) &&
        !otherTests.some(({ text }) => inTypescript.test(text))
      );
    });
    assert.deepEqual(unproved, []);
  });
});
