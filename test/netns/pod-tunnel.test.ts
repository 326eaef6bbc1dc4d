// A pod that encapsulates by itself: masquerading gives its packet our node's address, so every peer would believe it.
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
    await encapsulateInPod(ours, peer, 1);
    await until("the kernel to believe the pod", async () => (await arrived()) === before + PACKETS);

    const plane = await HandDrivenPlane.start(plan, ours, { underlayPort: "tap", disable: [] });
    try {
      const countersBefore = await restingCounters(() => plane.client.counters());
      await encapsulateInPod(ours, peer, 1);
      const refused = async () => countersSince(countersBefore, await plane.client.counters()).encap;
      await until("all to be counted", async () => (await refused()).drops.pod_tunnel === BigInt(PACKETS));
      assert.equal(await arrived(), before + PACKETS, "none of them reached the peer");
      assertLaw(await restingCounters(() => plane.client.counters()), "our node");

      // The overlay itself goes on.
      const ends = { from: ours.pod, address: addressOf(peer), count: 5, intervalMs: 2 };
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
    }).result();
    assert.equal(received, 5, "the kernel's path is as it was");
  });
});

function addressOf(node: LabNode): string {
  return podAddress(kernelPeerSubnet(node));
}

/** VXLAN datagrams of our VNI, each around a frame for the peer's VTEP, out of an ordinary UDP socket in the pod. */
async function encapsulateInPod(ours: LabNode, peer: LabNode, vni: number): Promise<void> {
  const header = Buffer.from([8, 0, 0, 0, 0, 0, vni, 0]);
  const ethernet = Buffer.from(kernelPeerVtep(peer).mac.replaceAll(":", "") + "0200000000ff" + "0800", "hex");
  const payload = Buffer.concat([header, ethernet, Buffer.alloc(46)]).toString("hex");
  const program = `
    const socket = require("node:dgram").createSocket("udp4");
    let left = ${PACKETS};
    const send = () => left-- === 0
      ? socket.close()
      : socket.send(Buffer.from("${payload}", "hex"), 8472, "${peer.underlay}", send);
    send();`;
  await runner.mustIn(ours.pod, process.execPath, ["-e", program]);
}
