// `auto` on a machine whose TAP driver cannot be had, as in a container without /dev/net/tun: AF_PACKET on both sides, and a reason.
//   pod p1 - node n1 (ours) - switch - node n2 (kernel VXLAN) - pod p2
import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelPeerSubnet } from "../../src/lab/kernel-peer.js";
import type { LabNode } from "../../src/lab/plan.js";
import { podAddress } from "../../src/lab/pod.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { assertLaw, restingCounters } from "../support/accounting.js";
import { HandDrivenPlane } from "../support/hand-driven-plane.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

/** In a mount namespace of the process's own, which `ip netns exec` has made. */
const WITHOUT_TUN = ["sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"];
const REASON = "no TAP: open(/dev/net/tun): No such file or directory; AF_PACKET needs no device of its own kind";

test("without /dev/net/tun auto takes AF_PACKET on both sides, says why, and carries", {
  skip: rootNeeded,
}, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const [ours, peer] = plan.nodes as readonly [LabNode, LabNode];
    const address = podAddress(kernelPeerSubnet(peer));
    const plane = await HandDrivenPlane.start(plan, ours, { underlayPort: "auto", disable: [] }, WITHOUT_TUN);
    try {
      const { ports } = await plane.client.inspect();
      assert.deepEqual(
        ports.map(({ side, kind, reason }) => ({ side, kind, reason })),
        ["overlay", "underlay"].map((side) => ({ side, kind: "packet", reason: REASON })),
      );
      const { received } = await new PingRun({
        from: ours.pod,
        address,
        count: 20,
        intervalMs: 5,
        deadlineSeconds: 30,
      }).result();
      assert.equal(received, 20);
      const carried = async () => {
        const { encap, decap } = await plane.client.counters();
        return encap.txPackets > 500n && decap.txPackets > 500n;
      };
      // What a busy machine leaves to the kernel's path does not go through user space.
      await until("user space to carry", async () => {
        await bothWays(ours, peer);
        return carried();
      });
      assertLaw(await restingCounters(plane.client), "our node");
    } finally {
      await plane.stop();
    }
  });
});

async function bothWays(ours: LabNode, peer: LabNode): Promise<void> {
  for (const [from, to] of [
    [ours, peer],
    [peer, ours],
  ] as const) {
    await runTcpCheck({ from: from.pod, to: to.pod, address: podAddress(kernelPeerSubnet(to)), mebibytes: 4 });
  }
}

test("a TAP that is asked for by name is not replaced by anything", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const [ours] = plan.nodes as readonly [LabNode, LabNode];
    await assert.rejects(
      HandDrivenPlane.start(plan, ours, { overlayPort: "tap", underlayPort: "auto", disable: [] }, WITHOUT_TUN),
      /open\(\/dev\/net\/tun\).*load module tun/s,
    );
  });
});
