// Pods that send the overlay's own packets to the tunnel port of nodes, of their own node and of others, under their own address
// and under a node's. With the agent's rules none of what they carry arrives anywhere, and each is counted; without them it does.
//   pod p1 - node n1 (agent) - switch - node n2 (kernel VXLAN, or an agent with the udp format) - pod p2
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import type { Counters } from "../../src/dataplane/counters.js";
import { agentName, agentSubnet } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import { kernelPeerSubnet, kernelPeerVtep } from "../../src/lab/kernel-peer.js";
import { linkMac } from "../../src/lab/links.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { type NodeSubnet, podAddress, podAddressV6 } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { assertLaw, countersSince, restingCounters } from "../support/accounting.js";
import { planeOf, rootNeeded, withLab } from "../support/lab.js";
import {
  type Datagram,
  InnerArrivals,
  innerPacket,
  nftCount,
  sendFromPod,
  vxlanPayload,
} from "../support/pod-tunnel.js";
import { eventually, until } from "../support/until.js";

const runner = new Runner();
const TIMES = 4;
/** Of nobody, on the nodes' segment: what a pod of another node would forge. */
const FORGED = "192.168.77.77";
const FORGED_V6 = "fd00:77::77";
/** Of no network that n1 knows. */
const FORGED_FAR = "203.0.113.5";
const TABLE = "inet ripstop-flannel.1";

/** Every address of its own node that a pod can send to, and every kind of source. */
async function toOwnNode({ namespace, pod, underlay, underlayV6 }: LabNode, own: NodeSubnet, payload: Buffer) {
  const v4 = [underlay, own.gateway, own.gateway.replace(/\.1$/, ".0")];
  const v6 = [underlayV6 ?? "", own.ipv6?.gateway ?? "", own.ipv6?.gateway.replace(/::1$/, "::") ?? ""];
  await runner.ip(
    pod,
    [FORGED, FORGED_FAR].map((address) => `address add ${address}/32 dev eth0`),
  );
  await runner.ip(pod, [`address add ${FORGED_V6}/128 dev eth0 nodad`, "address add fe80::2/64 dev eth0 nodad"]);
  await runner.ip(namespace, ["address add fe80::1/64 dev cni0 nodad"]);
  return [
    ...v4.flatMap((to) => [podAddress(own), FORGED, FORGED_FAR].map((from) => ({ from, to }))),
    ...v6.flatMap((to) => [podAddressV6(own) ?? "", FORGED_V6].map((from) => ({ from, to }))),
    { from: "fe80::2%eth0", to: "fe80::1%eth0" },
  ].map((way): Datagram => ({ ...way, port: 8472, payload }));
}

function toOtherNode({ underlay, underlayV6 }: LabNode, own: NodeSubnet, payload: Buffer): Datagram[] {
  return [
    { from: podAddress(own), to: underlay },
    { from: podAddressV6(own) ?? "", to: underlayV6 ?? "" },
    { from: FORGED, to: underlay },
    { from: FORGED_V6, to: underlayV6 ?? "" },
  ].map((way) => ({ ...way, port: 8472, payload }));
}

/** Without masquerading n2 sees the pod's own address, with it that of n1. */
for (const { dataplane, agentFlags } of [
  { dataplane: "kernel", agentFlags: [] },
  { dataplane: "userspace", agentFlags: ["--ip-masq"] },
] as const) {
  test(`what a pod encapsulates reaches no node's tunnel, and is counted: ${dataplane} path ${agentFlags.join()}`, {
    skip: rootNeeded,
  }, async () => {
    const flags = [...agentFlags, "--iptables-resync=1"];
    await withLab({ kernelPeers: [2], ipv6: true, dataplane, agentFlags: flags }, async (plan) => {
      const [ours, peer] = plan.nodes as readonly [LabNode, LabNode];
      const own = await agentSubnet(plan, ours);
      const arrived = await Promise.all([ours, peer].map(({ pod }) => InnerArrivals.watch(runner, pod)));
      const delivered = () => Promise.all(arrived.map((one) => one.count()));
      const ourMac = (await linkMac(runner, ours.namespace, "flannel.1")) ?? assert.fail("n1 has the device");
      const toUs = innerPacket(podAddress(kernelPeerSubnet(peer)), podAddress(own));
      const toPeer = innerPacket(podAddress(own), podAddress(kernelPeerSubnet(peer)));
      const near = await toOwnNode(ours, own, vxlanPayload(1, ourMac, toUs));
      const far = toOtherNode(peer, own, vxlanPayload(1, kernelPeerVtep(peer).mac, toPeer));
      const dropped = async () => ({
        ownNode: await nftCount(runner, ours.namespace, TABLE, "own_node"),
        otherNodes: await nftCount(runner, ours.namespace, TABLE, "other_nodes"),
      });
      const all = { ownNode: near.length * TIMES, otherNodes: far.length * TIMES };
      await within("the rules", () => hasTable(ours, TABLE));

      await sendFromPod(runner, ours.pod, [...near, ...far], TIMES);
      await within("each of them to be counted", async () => same(await dropped(), all));
      assert.deepEqual(await delivered(), [0, 0], "nothing of what they carry arrives");
      await within("status to tell", async () => same((await guardOf(ours))?.dropped, all));

      // What a busy machine leaves to the kernel's path does not go through the data plane.
      await eventually(() => assertOverlayGoesOn(plan, ours, peer, own));
      // Another overlay's: not for this tunnel.
      await sendFromPod(
        runner,
        ours.pod,
        far.slice(0, 1).map((one) => ({ ...one, payload: vxlanPayload(7, ourMac, toPeer) })),
        1,
      );
      assert.deepEqual(await dropped(), all, "packets of nodes, and of other overlays, are not counted");

      // The same packets are believed where there are no rules. They stay when the agent ends.
      await stopDaemon(plan.directory, agentName(ours));
      assert.deepEqual(await dropped(), all);
      await runner.mustIn(ours.namespace, "nft", ["delete", "table", ...TABLE.split(" ")]);
      await sendFromPod(runner, ours.pod, [...near, ...far], TIMES);
      // Under our own address they meet the data plane's program at the external interface.
      const refused = dataplane === "kernel" ? 0 : 2 * TIMES;
      if (refused > 0) await within("the program to refuse them", async () => (await podTunnelDrops(ours)) === refused);
      await within("the attack to work", async () => same(await delivered(), [all.ownNode, all.otherNodes - refused]));
    });
  });
}

test("the same with the udp format, whose data plane also refuses what does not come from the external interface", {
  skip: rootNeeded,
}, async () => {
  await withLab({ backend: "udp", agentFlags: ["--ip-masq", "--iptables-resync=1"] }, async (plan) => {
    const [ours, peer] = plan.nodes as readonly [LabNode, LabNode];
    const [own, theirs] = await Promise.all([agentSubnet(plan, ours), agentSubnet(plan, peer)]);
    const table = "inet ripstop-flannel0";
    const arrived = await Promise.all([ours, peer].map(({ pod }) => InnerArrivals.watch(runner, pod)));
    const delivered = () => Promise.all(arrived.map((one) => one.count()));
    const toUs = innerPacket(podAddress(theirs), podAddress(own));
    const toPeer = innerPacket(podAddress(own), podAddress(theirs));
    const packets = (to: string, payload: Buffer): Datagram[] => [{ from: podAddress(own), to, port: 8285, payload }];
    const near = packets(ours.underlay, toUs);
    const forged = near.map((one) => ({ ...one, from: peer.underlay }));
    const far = packets(peer.underlay, toPeer);
    const count = (name: string) => nftCount(runner, ours.namespace, table, name);
    await within("the rules", () => hasTable(ours, table));

    // Nobody's tunnel: not a packet inside, or not leaving the overlay.
    const others = [...packets(peer.underlay, Buffer.from("{}")), ...packets(podAddress(theirs), Buffer.from("EHLO"))];
    await sendFromPod(runner, ours.pod, others, TIMES);
    const before = await Promise.all([planeCounters(ours), planeCounters(peer)]);
    const since = async (): Promise<readonly Counters[]> => {
      const [one, other] = await Promise.all([planeCounters(ours), planeCounters(peer)]);
      return [countersSince(before[0], one), countersSince(before[1], other)];
    };
    await sendFromPod(runner, ours.pod, [...near, ...far], TIMES);
    await sendForged(ours, peer.underlay, forged);
    await within("those for our node to be counted", async () => (await count("own_node")) === 2 * TIMES);
    await within("those for the other node", async () => (await count("other_nodes")) === TIMES);
    for (const { decap } of await since()) assert.equal(decap.rxPackets, 0n, "nothing entered a tunnel");
    assert.deepEqual(await delivered(), [0, 0]);

    await stopDaemon(plan.directory, agentName(ours));
    await runner.mustIn(ours.namespace, "nft", ["delete", "table", ...table.split(" ")]);
    await sendFromPod(runner, ours.pod, far, TIMES);
    await within("the peer to believe the pod", async () => same(await delivered(), [0, TIMES]));
    await sendForged(ours, peer.underlay, forged);
    const refused = async () => (await since())[0]?.decap.drops["wrong_iface"];
    await within("our data plane to refuse it", async () => (await refused()) === BigInt(TIMES));
  });
});

/** The pod has the address only as long as that: answers for its owner would stay here. */
async function sendForged({ pod }: LabNode, address: string, packets: readonly Datagram[]): Promise<void> {
  await runner.ip(pod, [`address add ${address}/32 dev eth0`]);
  await sendFromPod(runner, pod, packets, TIMES);
  await runner.ip(pod, [`address delete ${address}/32 dev eth0`]);
}

async function assertOverlayGoesOn(plan: LabPlan, ours: LabNode, peer: LabNode, own: NodeSubnet): Promise<void> {
  const theirs = kernelPeerSubnet(peer);
  const userspace = plan.options.dataplane === "userspace";
  const before = userspace ? await planeCounters(ours) : null;
  for (const [from, address] of [
    [ours.pod, podAddress(theirs)],
    [ours.pod, podAddressV6(theirs)],
    [peer.pod, podAddress(own)],
    [peer.pod, podAddressV6(own)],
  ] as const) {
    const pings = { from, address: address ?? "", count: 5, intervalMs: 2, deadlineSeconds: 10 };
    const { received } = await new PingRun(pings).result();
    assert.equal(received, 5, `${from} to ${address}`);
  }
  if (before === null) return;
  const { encap, decap } = countersSince(before, await planeCounters(ours));
  // While it waits for an answer that is late ping sends on.
  const carried = `${encap.txPackets} out, ${decap.txPackets} in`;
  assert.ok(encap.txPackets >= 20n && decap.txPackets >= 20n, `pings and answers through the data plane: ${carried}`);
}

async function planeCounters(node: LabNode) {
  const counters = await restingCounters(node);
  assertLaw(counters, node.namespace);
  return counters;
}

async function podTunnelDrops(node: LabNode): Promise<number> {
  return Number((await planeOf(node)).counters.encap.drops["pod_tunnel"] ?? 0n);
}

async function guardOf({ directory }: LabNode) {
  const { agent } = await readNodeStatus(runPaths(join(directory, "run")));
  return agent?.guard ?? null;
}

async function hasTable({ namespace }: LabNode, table: string): Promise<boolean> {
  return (await runner.runIn(namespace, "nft", ["list", "table", ...table.split(" ")])).code === 0;
}

/** Generous: a machine under load takes its time. */
function within(what: string, condition: () => Promise<boolean>): Promise<void> {
  return until(what, condition, 30_000);
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
