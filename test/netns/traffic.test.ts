// The traffic tools over kernel VXLAN, the path that is known to be right: what they say of it has to be flawless, and
// what they say of a damaged path has to be the damage.
//   pod p1 - node n1 (kernel VXLAN) - switch - node n2 (kernel VXLAN) - pod p2
// Alone: it judges loss.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LabPlan } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { runIperfTcp } from "../../src/lab/traffic/iperf.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { rootNeeded, withLab } from "../support/lab.js";

const address = "10.244.2.2";

test("the traffic tools account for every packet, sound or not", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2] }, async (plan) => {
    const [from, to] = plan.nodes.map((node) => node.pod) as [string, string];
    await soundPath(from, to);
    await damagedPath(plan, from, to);
  });
});

async function soundPath(from: string, to: string): Promise<void> {
  const load = await runUdpLoad({ from, to, address, rate: 20_000, packets: 4000, flows: 16, size: 64 });
  assert.equal(load.sender.sent, 4000);
  assert.equal(load.lost, 0);
  assert.deepEqual([load.sink.duplicates, load.sink.corrupt, load.sink.foreign], [0, 0, 0]);
  const quic = await runUdpLoad({ from, to, address, rate: 20_000, packets: 3200, segments: 32, size: 1000 });
  assert.equal(quic.lost, 0);
  const check = await runTcpCheck({ from, to, address, mebibytes: 16 });
  assert.equal(check.bytes, 16 * 1024 * 1024);
  const bulk = await runIperfTcp({ from, to, address, seconds: 1 });
  assert.ok(bulk.bitsPerSecond > 1e6 && bulk.bytes > 1e6, `iperf3 moved ${bulk.bytes} bytes`);
  const ping = await new PingRun({ from, address, count: 100, intervalMs: 1, deadlineSeconds: 30 }).result();
  assert.deepEqual([ping.sent, ping.lost, ping.duplicates], [100, 0, 0]);
}

async function damagedPath(plan: LabPlan, from: string, to: string): Promise<void> {
  const runner = new Runner();
  const [near, far] = plan.nodes.map((node) => node.switchPort) as [string, string];
  const tc = (args: string) => runner.mustIn(plan.switchNamespace, "tc", args.split(" "));
  // The switch forwards every frame from the sender twice: once as a bridge, once by the mirror.
  await tc(`qdisc add dev ${near} clsact`);
  await tc(`filter add dev ${near} ingress protocol all u32 match u32 0 0 action mirred egress mirror dev ${far}`);
  const doubled = await runUdpLoad({ from, to, address, rate: 2000, packets: 200 });
  assert.equal(doubled.lost, 0);
  assert.equal(doubled.sink.duplicates, 200);
  await tc(`qdisc delete dev ${near} clsact`);
  await runner.ip(plan.switchNamespace, [`link set ${far} nomaster`]);
  const cut = await runUdpLoad({ from, to, address, rate: 1000, packets: 50, missingQuietMs: 100 });
  assert.equal(cut.lost, cut.sender.sent);
}
