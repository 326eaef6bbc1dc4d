// Our data plane on every underlay port, against a kernel VXLAN peer and against itself: payload and accounting.
//   pod p1 - node n1 - switch - node n2 - pod p2
//            ours               kernel VXLAN, then ours as well
// flannel.1 exists and is programmed on both nodes all the time; what its own counters miss, our data plane has carried.
// Alone: it asserts conservation of undisturbed runs.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Counters } from "../../src/dataplane/counters.js";

import { ping } from "../../src/doctor/probe.js";
import { withPrefix } from "../../src/host/command.js";
import { KERNEL_PEER_DEVICE, kernelPeerSubnet, kernelPeerVtep } from "../../src/lab/kernel-peer.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { podAddress } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { countedSince, deviceCounters } from "../../src/lab/traffic/device-counters.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { assertAllDelivered, assertConserved, countersSince, restingCounters } from "../support/accounting.js";
import { HandDrivenPlane, type PortChoice } from "../support/hand-driven-plane.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

const runner = new Runner();
// Short enough for the queues of every port: a machine that stalls for 100 ms must not make a sound path lose packets.
const UDP_PACKETS = 1500;
const UDP_RATE = 10_000;
const PINGS = 20;
const PATIENT = { intervalMs: 2, deadlineSeconds: 30 };
const MEBIBYTES = 16;
const FLOOD_MS = 500;
const ATTEMPTS = 3;
const EXACT_ATTEMPTS = 10;
/** What an overlay port that is no TAP stands on. */
const PAIR = ["rsp.1", "rsq.1"];
const XDP_DEVICES: ReadonlySet<string> = new Set(["eth0", "rsq.1"]);

const choices: ReadonlyArray<readonly [name: string, choice: PortChoice]> = [
  ["a TAP with tunnel GSO", { underlayPort: "tap", disable: [] }],
  ["a TAP without tunnel GSO", { underlayPort: "tap", disable: ["tunnel-gso"] }],
  ["a TAP as before Linux 6.2", { underlayPort: "tap", disable: ["tunnel-gso", "udp-super-packets"] }],
  ["an AF_XDP port", { underlayPort: "xdp", disable: [] }],
  ["AF_XDP ports on both sides", { overlayPort: "xdp", underlayPort: "xdp", disable: [] }],
  ["an AF_PACKET port on the overlay", { overlayPort: "packet", underlayPort: "tap", disable: [] }],
  ["an AF_PACKET port", { underlayPort: "packet", disable: [] }],
  ["tc filters instead of tcx links", { underlayPort: "tap", disable: ["tcx"] }],
  ["two workers on TAPs", { underlayPort: "tap", disable: [], workers: 2 }],
  ["two workers on AF_PACKET", { underlayPort: "packet", disable: [], workers: 2 }],
];

for (const [name, choice] of choices) {
  test(`our data plane on ${name}`, { skip: rootNeeded }, (t) =>
    withLab({ kernelPeers: [1, 2] }, async (plan) => {
      await t.test(`${name}: a kernel VXLAN peer and we understand each other, packet for packet`, () =>
        besideTheKernel(plan, choice),
      );
      await t.test(`${name}: two of our nodes lose nothing between them`, (one) => betweenOurselves(one, plan, choice));
    }),
  );
}

async function besideTheKernel(plan: LabPlan, choice: PortChoice): Promise<void> {
  const [ours, kernel] = plan.nodes as readonly [LabNode, LabNode];
  const plane = await HandDrivenPlane.start(plan, ours, choice);
  try {
    await mostlyOurs((attempt) => exactUdp(plane, ours, kernel, "encap", attempt));
    await mostlyOurs((attempt) => exactUdp(plane, kernel, ours, "decap", attempt));
    await everyKind(plan);
    assertAllDelivered(await restingCounters(plane.client), "our node");
    await everyWorkerCarries(plane, choice.workers ?? 1);
    await markedPacketsAreTheKernels(plane, ours, kernel);
  } finally {
    await plane.stop();
  }
  // The kernel's path is the same whatever stood in its way.
  await everyKind(plan, DATAGRAMS.slice(0, 1));
}

async function betweenOurselves(t: TestContext, plan: LabPlan, choice: PortChoice): Promise<void> {
  const planes: HandDrivenPlane[] = [];
  try {
    for (const node of plan.nodes) planes.push(await HandDrivenPlane.start(plan, node, choice));
    await conservedUnlessDisturbed(t, plan, planes);
    await everyLossIsCounted(plan, planes);
  } finally {
    for (const plane of planes) await plane.stop();
  }
}

/** A machine that stalls for 30 ms makes the kernel take over for a moment: each run has to be exact, but not each is mostly ours. */
async function mostlyOurs(run: (attempt: number) => Promise<number>): Promise<void> {
  const shares: number[] = [];
  while (shares.length < EXACT_ATTEMPTS) {
    shares.push(await run(shares.length));
    if ((shares.at(-1) ?? 0) < UDP_PACKETS / 2) return;
  }
  assert.fail(`of ${UDP_PACKETS} packets the kernel carried ${shares.join(", ")}`);
}

/** Numbered UDP in one direction: our counters and the devices' own must say the same, to the packet. The kernel's share of it. */
async function exactUdp(
  plane: HandDrivenPlane,
  from: LabNode,
  to: LabNode,
  lane: "encap" | "decap",
  attempt: number,
): Promise<number> {
  const [ours, kernel] = lane === "encap" ? [from, to] : [to, from];
  const before = await restingCounters(plane.client);
  const oursBefore = await deviceCounters(runner, ours.namespace, KERNEL_PEER_DEVICE);
  const kernelBefore = await deviceCounters(runner, kernel.namespace, KERNEL_PEER_DEVICE);
  const address = addressOf(to);
  const load = await runUdpLoad({
    from: from.pod,
    to: to.pod,
    address,
    port: 7777 + attempt,
    rate: UDP_RATE,
    packets: UDP_PACKETS,
    flows: 8,
  });
  assert.deepEqual([load.sender.sent, load.lost, load.sink.duplicates, load.sink.corrupt], [UDP_PACKETS, 0, 0, 0]);
  const counted = countersSince(before, await restingCounters(plane.client));
  assertAllDelivered(counted, "our node");
  const oursDevice = countedSince(oursBefore, await deviceCounters(runner, ours.namespace, KERNEL_PEER_DEVICE));
  const kernelDevice = countedSince(kernelBefore, await deviceCounters(runner, kernel.namespace, KERNEL_PEER_DEVICE));
  const kernelShare = lane === "encap" ? oursDevice.txPackets : oursDevice.rxPackets;
  assert.equal(Number(counted[lane].txPackets) + kernelShare, UDP_PACKETS);
  // The kernel counts what we joined (docs/decisions/0086) as one.
  if (lane === "encap") assert.equal(kernelDevice.rxPackets, Number(counted.encap.txFrames) + kernelShare);
  else assert.equal(kernelDevice.txPackets, UDP_PACKETS);
  return kernelShare;
}

/** `ripstop ping` measures the kernel's path so, while the data plane carries everything else. */
async function markedPacketsAreTheKernels(plane: HandDrivenPlane, ours: LabNode, kernel: LabNode): Promise<void> {
  const vtep = kernelPeerVtep(kernel).v4.base;
  const before = await restingCounters(plane.client);
  const { txPackets } = await deviceCounters(runner, ours.namespace, KERNEL_PEER_DEVICE);
  const run = withPrefix(["ip", "netns", "exec", ours.namespace]);
  // One that waits for no late answer.
  await until(
    "all marked packets to be answered",
    async () => (await ping(vtep, { mark: 0x1052, run })).received === 3,
  );
  assert.ok((await deviceCounters(runner, ours.namespace, KERNEL_PEER_DEVICE)).txPackets >= txPackets + 3);
  assert.equal(countersSince(before, await restingCounters(plane.client)).encap.rxPackets, 0n);
}

/** Flows are spread over the workers, and the workers' own counts add up to the sums, to the packet. */
async function everyWorkerCarries(plane: HandDrivenPlane, workers: number): Promise<void> {
  const sums = await restingCounters(plane.client);
  const each = await plane.client.workerCounters();
  assert.equal(each.length, workers);
  for (const lane of ["encap", "decap"] as const) {
    for (const [index, { [lane]: own }] of each.entries()) {
      assert.ok(own.rxPackets > 0n, `worker ${index} of ${workers} received nothing to ${lane}`);
    }
    assert.equal(
      each.reduce((sum, { [lane]: own }) => sum + own.rxPackets, 0n),
      sums[lane].rxPackets,
    );
  }
}

/** Far more than goes through: what did not arrive has to stand in somebody's counters, to the packet. */
async function everyLossIsCounted(plan: LabPlan, planes: readonly HandDrivenPlane[]): Promise<void> {
  const [one, other] = plan.nodes as readonly [LabNode, LabNode];
  const before = await kernelDrops(plan, planes);
  const [oneBefore, otherBefore] = await bothCounters(planes);
  const ends = { from: one.pod, to: other.pod, address: addressOf(other) };
  // Until then queues may hold what is neither lost nor there.
  const settled = () => bothCounters(planes);
  const load = await runUdpLoad({
    ...ends,
    rate: 0,
    milliseconds: FLOOD_MS,
    size: 64,
    flows: 16,
    quietMs: 300,
    settled,
  });
  const [oneAfter, otherAfter] = await bothCounters(planes);
  const dropped = (await kernelDrops(plan, planes)) - before + load.sink.socket_drops;
  const sent = countersSince(oneBefore, oneAfter);
  assertAllDelivered(sent, "the first node under flood");
  assertAllDelivered(countersSince(otherBefore, otherAfter), "the second node under flood");
  const told = `${load.lost} of ${load.sender.sent} lost, but the kernel counted ${dropped}`;
  // What we joined is one drop to the kernel and several losses.
  if (sent.encap.txFrames === sent.encap.txPackets) assert.equal(load.lost, dropped, told);
  else assert.ok(load.lost >= dropped && (dropped > 0 || load.lost === 0), told);
  assert.deepEqual([load.sink.duplicates, load.sink.corrupt], [0, 0]);
}

/** What the kernel dropped on the way: before our ports could read it, between them, and on the way to the pods. */
async function kernelDrops(plan: LabPlan, planes: readonly HandDrivenPlane[]): Promise<number> {
  let drops = 0;
  let xdp = false;
  let pair = false;
  for (const plane of planes) {
    for (const port of (await plane.client.inspect()).ports) {
      drops += Number(port.rxKernelDrops);
      xdp ||= port.kind === "xdp";
      pair ||= port.side === "overlay" && port.kind !== "tap";
    }
  }
  for (const node of plan.nodes) {
    for (const device of ["eth0", KERNEL_PEER_DEVICE, "cni0", "pod0", ...(pair ? PAIR : [])]) {
      const { rxDropped, txDropped } = await deviceCounters(runner, node.namespace, device);
      // What finds an XDP ring full is counted by the ring and by the device.
      drops += txDropped + (xdp && XDP_DEVICES.has(device) ? 0 : rxDropped);
    }
    for (const [namespace, device] of [
      [node.pod, "eth0"],
      [plan.switchNamespace, node.switchPort],
    ] as const) {
      const { rxDropped, txDropped } = await deviceCounters(runner, namespace, device);
      drops += txDropped + rxDropped;
    }
  }
  return drops;
}

/** Packets that a node's kernel device carried, as its counters say (a super-packet is one). */
async function kernelCarried(plan: LabPlan): Promise<number> {
  let packets = 0;
  for (const node of plan.nodes) {
    const { rxPackets, txPackets } = await deviceCounters(runner, node.namespace, KERNEL_PEER_DEVICE);
    packets += rxPackets + txPackets;
  }
  return packets;
}

/**
 * Traffic of every kind; then what one node sent the other has received. That can be said only of a run in which the kernel
 * neither dropped (TCP finds a path's limit by overrunning it) nor took over (a machine stalled for 30 ms); so it is tried
 * again, and a machine that disturbs every run is reported.
 */
async function conservedUnlessDisturbed(
  t: TestContext,
  plan: LabPlan,
  planes: readonly HandDrivenPlane[],
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const before = await bothCounters(planes);
    const disturbed = async () => (await kernelDrops(plan, planes)) + (await kernelCarried(plan));
    const disturbedBefore = await disturbed();
    await everyKind(plan);
    const after = await bothCounters(planes);
    const one = countersSince(before[0], after[0]);
    const other = countersSince(before[1], after[1]);
    assertAllDelivered(one, "the first node");
    assertAllDelivered(other, "the second node");
    assert.ok(one.encap.txPackets > MEBIBYTES * 600, `only ${one.encap.txPackets} packets went our way`);
    if ((await disturbed()) === disturbedBefore) return assertConserved(one, other);
  }
  t.diagnostic(`the kernel dropped or took over in all ${ATTEMPTS} runs: conservation between the nodes is not shown`);
}

async function bothCounters(planes: readonly HandDrivenPlane[]): Promise<readonly [Counters, Counters]> {
  const [one, other] = await Promise.all(planes.map((plane) => restingCounters(plane.client)));
  assert.ok(one !== undefined && other !== undefined);
  return [one, other];
}

/** UDP, small, large, and as QUIC sends it. */
const DATAGRAMS: ReadonlyArray<readonly [size: number, segments: number]> = [
  [64, 1],
  [1400, 1],
  [1000, 20],
];

/** ICMP, UDP, TCP bulk with TSO on, each in both directions, every byte compared. */
async function everyKind(plan: LabPlan, datagrams = DATAGRAMS): Promise<void> {
  const [one, other] = plan.nodes as readonly [LabNode, LabNode];
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    const ends = { from: from.pod, to: to.pod, address: addressOf(to) };
    const ping = await new PingRun({ from: from.pod, address: ends.address, count: PINGS, ...PATIENT }).result();
    assert.deepEqual([ping.received, ping.duplicates], [PINGS, 0]);
    for (const [size, segments] of datagrams) {
      const load = await runUdpLoad({ ...ends, rate: 10_000, packets: 1000, size, segments, flows: 2 });
      const { sink } = load;
      assert.deepEqual([load.lost, sink.duplicates, sink.corrupt], [0, 0, 0], `UDP of ${size} bytes by ${segments}`);
    }
    assert.equal((await runTcpCheck({ ...ends, mebibytes: MEBIBYTES })).bytes, MEBIBYTES * 1024 * 1024);
  }
}

function addressOf(node: LabNode): string {
  return podAddress(kernelPeerSubnet(node));
}
