// Names and addresses of a lab, and the options it refuses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_OPTIONS, labOptionsSchema, namespacesOf, planLab } from "../../../src/lab/plan.js";

test("names and addresses follow the node's index", () => {
  const plan = planLab({ ...DEFAULT_OPTIONS, nodes: 3, kernelPeers: [3] }, "/run/ripstop-lab");
  assert.deepEqual(namespacesOf(plan), ["rs-net", "rs-n1", "rs-p1", "rs-n2", "rs-p2", "rs-n3", "rs-p3"]);
  assert.deepEqual(
    plan.nodes.map(({ kind, underlay }) => [kind, underlay]),
    [
      ["agent", "192.168.77.1"],
      ["agent", "192.168.77.2"],
      ["kernel-peer", "192.168.77.3"],
    ],
  );
});

test("a kernel peer must be one of the nodes and needs the vxlan backend", () => {
  assert.throws(() => planLab({ ...DEFAULT_OPTIONS, kernelPeers: [3] }, "/x"), { code: "LAB_BAD_OPTION" });
  assert.throws(() => planLab({ ...DEFAULT_OPTIONS, backend: "udp", kernelPeers: [1] }, "/x"), {
    code: "LAB_BAD_OPTION",
  });
});

test("options that could reach a command line are refused when they are not plain words", () => {
  assert.equal(labOptionsSchema.safeParse({ ...DEFAULT_OPTIONS, prefix: "x y-" }).success, false);
  assert.equal(labOptionsSchema.safeParse({ ...DEFAULT_OPTIONS, disable: ["--x y"] }).success, false);
  assert.equal(labOptionsSchema.safeParse(DEFAULT_OPTIONS).success, true);
});
