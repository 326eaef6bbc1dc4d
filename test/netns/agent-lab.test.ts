// Nodes with real agents beside a kernel VXLAN peer: leases, interoperation, and a data plane that dies.
//   p1 - n1 (agent) --+
//   p2 - n2 (agent) --+-- switch
//   p3 - n3 (kernel) -+
import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelPeerSubnet } from "../../src/lab/kernel-peer.js";
import { labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane, viewPlane } from "../../src/lab/plane.js";
import { type NodeSubnet, podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { labStatus } from "../../src/lab/status.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { assertAllDelivered, restingCounters } from "../support/accounting.js";
import { rootNeeded, testPrefix, withLab } from "../support/lab.js";

test("agents take leases of their own and carry traffic among themselves and to a kernel VXLAN peer", {
  skip: rootNeeded,
}, async () => {
  await withLab({ nodes: 3, kernelPeers: [3] }, async (plan) => {
    const status = await labStatus(plan.directory);
    assert.equal(status?.state, "ok");
    const subnets = status.nodes.map((node) => node.subnet);
    assert.equal(new Set(subnets).size, 3, `leases ${subnets.join(", ")} are not all different`);
    const [one, other, kernel] = plan.nodes as readonly [LabNode, LabNode, LabNode];
    for (const [from, to] of [
      [one, other],
      [other, one],
      [one, kernel],
      [kernel, one],
    ] as const) {
      const ends = { from: from.pod, to: to.pod, address: await addressOf(to) };
      await runTcpCheck({ ...ends, mebibytes: 8 });
      const load = await runUdpLoad({ ...ends, rate: 5000, packets: 500, size: 200, flows: 4 });
      assert.deepEqual([load.lost, load.sink.corrupt, load.sink.duplicates], [0, 0, 0], `${from.pod} to ${to.pod}`);
    }
    for (const node of [one, other]) {
      const counters = await restingCounters(async () => (await planeOf(node)).counters);
      assertAllDelivered(counters, node.namespace);
      assert.ok(
        counters.encap.txPackets > 5000n,
        `${node.namespace} sent only ${counters.encap.txPackets} packets itself`,
      );
    }
  });
});

test("a killed data plane costs milliseconds, and the agent starts another", { skip: rootNeeded }, async () => {
  await withLab({}, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const { pid } = await planeOf(one);
    const ping = new PingRun({ from: one.pod, address: await addressOf(other), count: 1000, intervalMs: 2 });
    await waitFor("the ping to be under way", async () => ping.answers >= 200 || null, {
      timeoutMs: 10_000,
      everyMs: 1,
    });
    process.kill(pid, "SIGKILL");
    await waitFor("another data plane", async () => successor(one, pid), { timeoutMs: 15_000 });
    const result = await ping.result();
    assert.ok(result.received > 900, `${result.lost} of ${result.sent} pings lost`);
    assert.ok(result.gapMaxMs < 500, `silence of ${result.gapMaxMs} ms`);
  });
});

test("the lab changes the data plane of running nodes and keeps their leases", { skip: rootNeeded }, async () => {
  await withLab({ dataplane: "kernel" }, async (plan) => {
    const before = await Promise.all(plan.nodes.map(subnetOf));
    assert.deepEqual(await views(plan), [null, null]);
    const context = { directory: plan.directory, report: () => undefined };
    for (const underlayPort of ["tap", "xdp"] as const) {
      await labUp({ ...DEFAULT_OPTIONS, prefix: testPrefix, dataplane: "userspace", underlayPort }, context);
      const kinds = (await views(plan)).map(
        (view) => view?.inspection.ports.find(({ side }) => side === "underlay")?.kind,
      );
      assert.deepEqual(kinds, [underlayPort, underlayPort]);
    }
    assert.deepEqual(await Promise.all(plan.nodes.map(subnetOf)), before);
  });
});

async function subnetOf(node: LabNode): Promise<NodeSubnet> {
  const subnet = node.kind === "agent" ? await readSubnetFile(labFiles.subnetFile(node)) : null;
  return subnet ?? kernelPeerSubnet(node);
}

async function addressOf(node: LabNode): Promise<string> {
  return podAddress(await subnetOf(node));
}

function views(plan: LabPlan) {
  return Promise.all(plan.nodes.map(viewPlane));
}

async function planeOf(node: LabNode) {
  const view = await viewPlane(node);
  assert.ok(view !== null, `${node.namespace} has no data plane`);
  return view;
}

async function successor(node: LabNode, killed: number): Promise<true | null> {
  const view = await runningPlane(node);
  return view !== null && view.pid !== killed ? true : null;
}
