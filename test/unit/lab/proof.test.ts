// What the demo makes of the counters.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KERNEL, OURS } from "../../../src/lab/demo/paths.js";
import { judge, type Witness } from "../../../src/lab/demo/proof.js";

const byUs: Witness = {
  path: OURS,
  sent: 50,
  arrived: 50,
  ourEncap: 50,
  ourDecap: 50,
  kernelEncap: 0,
  kernelDecap: 0,
  compared: 1 << 20,
};
const byTheKernel: Witness = {
  ...byUs,
  path: KERNEL,
  ourEncap: null,
  ourDecap: null,
  kernelEncap: 50,
  kernelDecap: 50,
};

describe("who carried", () => {
  it("is proved when every packet went the way it was meant to", () => {
    assert.equal(judge(byUs), "yes");
    assert.equal(judge(byTheKernel), "yes");
  });

  it("is shared when the kernel carried some of ours and none is missing, at either end", () => {
    assert.equal(judge({ ...byUs, ourEncap: 40, kernelEncap: 10 }), "shared");
    assert.equal(judge({ ...byUs, ourDecap: 1, kernelDecap: 49 }), "shared");
  });

  it("is not proved when a packet is missing or counted twice", () => {
    assert.equal(judge({ ...byUs, arrived: 49 }), "NO");
    assert.equal(judge({ ...byUs, ourEncap: 49 }), "NO");
    assert.equal(judge({ ...byUs, kernelDecap: 1 }), "NO");
    assert.equal(judge({ ...byTheKernel, kernelEncap: 51 }), "NO");
  });

  it("is not proved when the kernel carried everything that we claim, or a data plane runs where none should", () => {
    assert.equal(judge({ ...byUs, ourEncap: 0, kernelEncap: 50 }), "NO");
    assert.equal(judge({ ...byUs, ourDecap: null, kernelDecap: 50 }), "NO");
    assert.equal(judge({ ...byTheKernel, ourEncap: 0, ourDecap: 0 }), "NO");
  });
});
