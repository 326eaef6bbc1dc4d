// The real flanneld and Ripstop as nodes of one overlay, leases in one etcd: traffic both ways for every backend they share,
// and each node handed from one program to the other and back under a TCP stream that must not notice.
//   p1 - n1 (Ripstop) - switch (etcd) - n2 (Ripstop, flanneld, Ripstop) - p2
//                            +--------- n3 (the same) - p3
// Alone: it judges loss.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { awaitReachability } from "../../src/lab/reachability.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { labStore } from "../../src/lab/store.js";
import { runIperfTcp } from "../../src/lab/traffic/iperf.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { becomeFlanneld, becomeRipstop, deviceMtu } from "../support/flanneld-node.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";

const flanneld = peerProgram("flanneld");
const skip = rootNeeded || flanneld.missing;
const runner = new Runner();
/** Long enough for five hand-overs; the stream is slow so that it measures nothing but whether it lives. */
const STREAM_SECONDS = 40;

async function subnetsOf(plan: LabPlan): Promise<ReadonlyMap<LabNode, NodeSubnet>> {
  const subnets = new Map<LabNode, NodeSubnet>();
  for (const node of plan.nodes) {
    const subnet = await readSubnetFile(labFiles.subnetFile(node));
    assert.ok(subnet !== null, node.namespace);
    subnets.set(node, subnet);
  }
  return subnets;
}

/** Bulk TCP and small and full UDP, every byte checked. */
async function exchange(from: LabNode, to: LabNode): Promise<void> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const way = { from: from.pod, to: to.pod, address: podAddress(subnet) };
  await runTcpCheck({ ...way, mebibytes: 16 });
  for (const size of [64, subnet.mtu - 28]) {
    const { sender, sink, lost } = await runUdpLoad({ ...way, rate: 2_000, size, packets: 500 });
    assert.equal(sender.sent, 500);
    assert.deepEqual(
      { lost, corrupt: sink.corrupt, duplicates: sink.duplicates },
      { lost: 0, corrupt: 0, duplicates: 0 },
    );
  }
}

async function bothWays(one: LabNode, other: LabNode): Promise<void> {
  await exchange(one, other);
  await exchange(other, one);
}

for (const [backend, device, dataplane] of [
  ["vxlan", "flannel.1", "userspace"],
  ["udp", "flannel0", "userspace"],
  ["host-gw", "eth0", "auto"],
] as const) {
  describe(`${backend} with flanneld in the same etcd`, { skip }, () => {
    it("carries traffic both ways with equal MTU, and swaps programs under a TCP stream", async (context) => {
      await withLab({ nodes: 3, store: "etcd", backend, dataplane }, async (plan) => {
        const [one, two, three] = plan.nodes as readonly [LabNode, LabNode, LabNode];
        const subnets = await subnetsOf(plan);
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
        await awaitReachability(runner, plan, subnets);
        await bothWays(one, two);
        await becomeFlanneld(plan, three, flanneld.path, store);
        await awaitReachability(runner, plan, subnets);
        await bothWays(two, three);
        await becomeRipstop(plan, two);
        await awaitReachability(runner, plan, subnets);
        await bothWays(two, three);
        await becomeRipstop(plan, three);
        await awaitReachability(runner, plan, subnets);
        await bothWays(one, three);

        const swapped = (performance.now() - began) / 1000;
        const { bytes } = await stream;
        context.diagnostic(`swapped within ${swapped.toFixed(1)} s; the stream carried ${bytes} bytes`);
        assert.ok(swapped < STREAM_SECONDS, `the stream ended before the swaps did: ${swapped.toFixed(1)} s`);
        assert.ok(bytes > (20e6 / 8) * STREAM_SECONDS * 0.5, `only ${bytes} bytes: the stream stood still for long`);
      });
    });
  });
}
