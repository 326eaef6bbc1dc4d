// The real flanneld and Ripstop as nodes of one overlay, leases in one etcd: traffic both ways for every backend they share,
// and each node handed from one program to the other and back under a TCP stream that must not notice.
//   p1 - n1 (Ripstop, flanneld, Ripstop) - switch (etcd) - n2 (the same) - p2
//                                               +--------- n3 (the same) - p3
// Alone: it judges loss.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import type { LabNode } from "../../src/lab/plan.js";
import { labStore } from "../../src/lab/store.js";
import { becomeFlanneld } from "../support/flanneld-node.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { migration, problems } from "../support/migration.js";
import { peerProgram } from "../support/peer-program.js";
import { swapEveryNode } from "../support/rolling-swap.js";

const flanneld = peerProgram("flanneld");
const skip = rootNeeded || flanneld.missing;

describe("a look at a node before the swap", { skip }, () => {
  it("finds nothing on a healthy flanneld, and names what somebody changed", async () => {
    await withLab({ nodes: 2, store: "etcd", dataplane: "kernel" }, async (plan) => {
      const [, two] = plan.nodes as readonly [LabNode, LabNode];
      const none = migration(two);
      assert.match(none[0]?.value ?? "", /does not run/);
      const store = labStore(plan).agentArguments.filter((flag) => !flag.startsWith("--store"));
      await becomeFlanneld(plan, two, flanneld.path, store);
      assert.deepEqual(problems(migration(two)), []);
      execFileSync("ip", ["-n", two.namespace, "link", "set", "flannel.1", "address", "02:00:00:00:00:99"]);
      execFileSync("ip", ["-n", two.namespace, "link", "set", "eth0", "mtu", "1400"]);
      const found = problems(migration(two));
      assert.deepEqual(
        found.map(({ check }) => check),
        ["device", "mtu"],
      );
      assert.match(found[0]?.value ?? "", /02:00:00:00:00:99 instead of/);
      assert.match(found[1]?.value ?? "", /1450 in subnet.env; eth0 has 1400, so we would say 1350/);
    });
  });
});

for (const [backend, device, dataplane] of [
  ["vxlan", "flannel.1", "userspace"],
  ["udp", "flannel0", "userspace"],
  ["host-gw", "eth0", "auto"],
] as const) {
  describe(`${backend} with flanneld in the same etcd`, { skip }, () => {
    it("carries traffic both ways with equal MTU while every node is swapped and back under a TCP stream", async (context) => {
      await withLab({ nodes: 3, store: "etcd", backend, dataplane }, async (plan) => {
        const store = labStore(plan).agentArguments.filter((flag) => !flag.startsWith("--store"));
        context.diagnostic(await swapEveryNode({ plan, device, flanneld: flanneld.path, store }));
      });
    });
  });
}
