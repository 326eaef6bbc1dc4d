// Several workers of one data plane: on AF_XDP with a queue each, on UDP sockets and TUN queues, bound to CPUs. Every flow has
// one worker, every worker has flows, and their counters add up to the packet.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { test } from "node:test";
import { DataplaneClient } from "../../src/dataplane/client.js";
import { kernelPeerSubnet } from "../../src/lab/kernel-peer.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { planeSocket } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { assertAllDelivered, restingCounters } from "../support/accounting.js";
import { HandDrivenPlane } from "../support/hand-driven-plane.js";
import { planeOf, rootNeeded, withLab } from "../support/lab.js";

const MEBIBYTES = 8;
const FLOWS = 32;
const PACKETS = 1000;
const oneCpu = cpus().length < 2 && "needs two CPUs";

test("two workers with AF_XDP on both sides share nothing and lose nothing", { skip: rootNeeded }, async () => {
  await withLab({ kernelPeers: [1, 2], cableQueues: 2 }, async (plan) => {
    const planes: HandDrivenPlane[] = [];
    const choice = { overlayPort: "xdp", underlayPort: "xdp", disable: [], workers: 2 } as const;
    try {
      for (const node of plan.nodes) planes.push(await HandDrivenPlane.start(plan, node, choice));
      await trafficAmongAll(plan, async (node) => podAddress(kernelPeerSubnet(node)));
      for (const { client } of planes) {
        const kinds = (await client.inspect()).ports.map(({ kind }) => kind);
        assert.deepEqual(kinds, ["xdp", "xdp"]);
        assertAllDelivered(await restingCounters(client), "a node");
        await everyWorkerCarries(client, 2, ["encap", "decap"]);
      }
    } finally {
      for (const plane of planes) await plane.stop();
    }
  });
});

test("an agent's workers on UDP sockets and TUN queues stay on the CPUs it names", {
  skip: rootNeeded || oneCpu,
}, async () => {
  const backendOptions = { DataPlane: { Workers: 2, Cpus: [1, 0] } };
  await withLab({ nodes: 3, backend: "udp", dataplane: "userspace", backendOptions }, async (plan) => {
    await trafficAmongAll(plan, async (node) => {
      const subnet = await readSubnetFile(labFiles.subnetFile(node));
      assert.ok(subnet !== null, `${node.namespace} has a lease`);
      return podAddress(subnet);
    });
    for (const node of plan.nodes) {
      const view = await planeOf(node);
      assert.deepEqual(
        view.inspection.ports.map(({ kind }) => kind),
        ["tun", "udp"],
      );
      assert.deepEqual(cpusOfWorkers(view.pid), ["0", "1"]);
      const client = await DataplaneClient.connect(planeSocket(node), { deadlineMs: 30_000 });
      try {
        await client.hello("observe");
        assertAllDelivered(await restingCounters(client), node.namespace);
        // A peer has one source port, so which worker hears it is one draw a peer: of two, both may have one worker.
        await everyWorkerCarries(client, 2, ["encap"]);
      } finally {
        client.disconnect();
      }
    }
  });
});

/** From each node to the next: many small flows that arrive whole, and bulk with every byte compared. */
async function trafficAmongAll(plan: LabPlan, addressOf: (node: LabNode) => Promise<string>): Promise<void> {
  for (const [index, from] of plan.nodes.entries()) {
    const to = plan.nodes[(index + 1) % plan.nodes.length] as LabNode;
    const ends = { from: from.pod, to: to.pod, address: await addressOf(to) };
    const { lost, sink } = await runUdpLoad({ ...ends, rate: 5_000, packets: PACKETS, size: 200, flows: FLOWS });
    assert.deepEqual([lost, sink.duplicates, sink.corrupt], [0, 0, 0], `${from.pod} to ${to.pod}`);
    assert.equal((await runTcpCheck({ ...ends, mebibytes: MEBIBYTES })).bytes, MEBIBYTES * 1024 * 1024);
  }
}

async function everyWorkerCarries(
  client: DataplaneClient,
  workers: number,
  lanes: ReadonlyArray<"encap" | "decap">,
): Promise<void> {
  const sums = await restingCounters(client);
  const each = await client.workerCounters();
  assert.equal(each.length, workers);
  for (const lane of ["encap", "decap"] as const) {
    const own = each.map((counters) => counters[lane].rxPackets);
    assert.equal(
      own.reduce((sum, packets) => sum + packets, 0n),
      sums[lane].rxPackets,
    );
    if (lanes.includes(lane))
      assert.ok(
        own.every((packets) => packets > 0n),
        `${lane}: ${own.join(" and ")} packets`,
      );
  }
}

/** The CPU lists of a process's worker threads, sorted. */
function cpusOfWorkers(pid: number): string[] {
  const lists: string[] = [];
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    if (!/^Name:\tripstop-worker$/m.test(status)) continue;
    lists.push(/^Cpus_allowed_list:\t(.*)$/m.exec(status)?.[1] ?? "");
  }
  return lists.sort();
}
