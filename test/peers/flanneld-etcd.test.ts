// The real flanneld and Ripstop as nodes of one overlay, leases in one etcd: traffic both ways for every backend they share,
// and each node handed from one program to the other and back under a TCP stream that must not notice.
//   p1 - n1 (Ripstop) - switch (etcd) - n2 (Ripstop, flanneld, Ripstop) - p2
//                            +--------- n3 (the same) - p3
// Alone: it judges loss.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { awaitReachability } from "../../src/lab/reachability.js";
import type { LabNode } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { labStore } from "../../src/lab/store.js";
import { runIperfTcp } from "../../src/lab/traffic/iperf.js";
import { becomeFlanneld, becomeRipstop, deviceMtu } from "../support/flanneld-node.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { migration, problems } from "../support/migration.js";
import { exchangeBothWays, nodeSubnets } from "../support/overlay-traffic.js";
import { peerProgram } from "../support/peer-program.js";

const flanneld = peerProgram("flanneld");
const skip = rootNeeded || flanneld.missing;
const runner = new Runner();
/** Long enough for five hand-overs; the stream is slow so that it measures nothing but whether it lives. */
const STREAM_SECONDS = 40;

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
    it("carries traffic both ways with equal MTU, and swaps programs under a TCP stream", async (context) => {
      await withLab({ nodes: 3, store: "etcd", backend, dataplane }, async (plan) => {
        const [one, two, three] = plan.nodes as readonly [LabNode, LabNode, LabNode];
        const subnets = await nodeSubnets(plan);
        const proxies = (...nodes: readonly LabNode[]) =>
          backend === "udp" ? nodes.map((node) => ({ node, device })) : [];
        const mtu = deviceMtu(two, device);
        const store = labStore(plan).agentArguments.filter((flag) => !flag.startsWith("--store"));
        const stream = runIperfTcp({
          from: one.pod,
          to: three.pod,
          address: podAddress(subnets.get(three) as NodeSubnet),
          seconds: STREAM_SECONDS,
          megabitsPerSecond: 20,
        });
        const began = performance.now();

        await becomeFlanneld(plan, two, flanneld.path, store);
        assert.equal(deviceMtu(two, device), mtu, "flanneld computes the MTU that we compute");
        assert.deepEqual(problems(migration(two)), [], "nothing would change by swapping back");
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(one, two, proxies(two));
        await becomeFlanneld(plan, three, flanneld.path, store);
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(two, three, proxies(two, three));
        await becomeRipstop(plan, two);
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(two, three, proxies(three));
        await becomeRipstop(plan, three);
        await awaitReachability(runner, plan, subnets);
        await exchangeBothWays(one, three);

        const swapped = (performance.now() - began) / 1000;
        const { bytes } = await stream;
        context.diagnostic(`swapped within ${swapped.toFixed(1)} s; the stream carried ${bytes} bytes`);
        assert.ok(swapped < STREAM_SECONDS, `the stream ended before the swaps did: ${swapped.toFixed(1)} s`);
        assert.ok(bytes > (20e6 / 8) * STREAM_SECONDS * 0.5, `only ${bytes} bytes: the stream stood still for long`);
      });
    });
  });
}
