// A pod that encapsulates by itself: masquerading gives its packet our node's address, so every peer would believe it. Here without
// an agent, so without its rules (tunnel-guard.test.ts): the data plane's own program at the external interface.
//   pod p1 - node n1 (ours, masquerades) - switch - node n2 (kernel VXLAN)
import assert from "node:assert/strict";
import { test } from "node:test";
import { KERNEL_PEER_DEVICE, kernelPeerSubnet, kernelPeerVtep } from "../../src/lab/kernel-peer.js";
import type { LabNode } from "../../src/lab/plan.js";
import { podAddress } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { deviceCounters } from "../../src/lab/traffic/device-counters.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { assertLaw, countersSince, restingCounters } from "../support/accounting.js";
import { HandDrivenPlane } from "../support/hand-driven-plane.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { sendFromPod, vxlanPayload } from "../support/pod-tunnel.js";
import { until } from "../support/until.js";

const runner = new Runner();
const PACKETS = 20;

test("what a pod encapsulates under its node's address reaches no peer and is counted", {
  skip: rootNeeded,
}, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const [ours, peer] = plan.nodes as readonly [LabNode, LabNode];
    const { subnet } = kernelPeerVtep(ours).v4;
    await runner.mustIn(ours.namespace, "nft", ["add table ip pods"]);
    await runner.mustIn(ours.namespace, "nft", [
      "add chain ip pods out { type nat hook postrouting priority srcnat; }",
    ]);
    await runner.mustIn(ours.namespace, "nft", [`add rule ip pods out ip saddr ${subnet} oifname eth0 masquerade`]);
    const arrived = async () => (await deviceCounters(runner, peer.namespace, KERNEL_PEER_DEVICE)).rxPackets;

    // Without us the peer's kernel takes it: the attack is real.
    const before = await arrived();
    await encapsulateInPod(ours, peer);
    await until("the kernel to believe the pod", async () => (await arrived()) >= before + PACKETS);

    const plane = await HandDrivenPlane.start(plan, ours, { underlayPort: "tap", disable: [] });
    try {
      const believed = await arrived();
      const countersBefore = await restingCounters(plane.client);
      await encapsulateInPod(ours, peer);
      const refused = async () => countersSince(countersBefore, await plane.client.counters()).encap;
      await until("all to be counted", async () => (await refused()).drops.pod_tunnel === BigInt(PACKETS));
      assert.equal(await arrived(), believed, "none of them reached the peer");
      assertLaw(await restingCounters(plane.client), "our node");

      // The overlay itself goes on.
      const ends = { from: ours.pod, address: addressOf(peer), count: 5, intervalMs: 2, deadlineSeconds: 30 };
      assert.equal((await new PingRun(ends).result()).received, 5);
      assert.equal((await refused()).drops.pod_tunnel, BigInt(PACKETS));
    } finally {
      await plane.stop();
    }
    const { received } = await new PingRun({
      from: ours.pod,
      address: addressOf(peer),
      count: 5,
      intervalMs: 2,
      deadlineSeconds: 30,
    }).result();
    assert.equal(received, 5, "the kernel's path is as it was");
  });
});

function addressOf(node: LabNode): string {
  return podAddress(kernelPeerSubnet(node));
}

/** Datagrams of our VNI, each around a frame for the peer's VTEP. */
function encapsulateInPod(ours: LabNode, peer: LabNode): Promise<void> {
  const payload = vxlanPayload(1, kernelPeerVtep(peer).mac, Buffer.alloc(46));
  return sendFromPod(runner, ours.pod, [{ to: peer.underlay, port: 8472, payload }], PACKETS);
}
