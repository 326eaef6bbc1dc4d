// Nodes with real agents beside a kernel VXLAN peer: leases, interoperation, and a data plane that dies.
//   p1 - n1 (agent) --+
//   p2 - n2 (agent) --+-- switch
//   p3 - n3 (kernel) -+
import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelPeerSubnet } from "../../src/lab/kernel-peer.js";
import { labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, labFiles } from "../../src/lab/plan.js";
import { portKind, runningPlane, viewPlane } from "../../src/lab/plane.js";
import { type NodeSubnet, podAddress, podAddressV6, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { labStatus } from "../../src/lab/status.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { assertNothingDropped, restingCounters } from "../support/accounting.js";
import { planeOf, rootNeeded, testPrefix, withLab } from "../support/lab.js";

const runner = new Runner();

test("agents take leases of their own and carry both families among themselves and to a kernel VXLAN peer", {
  skip: rootNeeded,
}, async () => {
  await withLab({ nodes: 3, kernelPeers: [3], ipv6: true }, async (plan) => {
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
      for (const address of [await addressOf(to), podAddressV6(await subnetOf(to)) ?? ""]) {
        const ends = { from: from.pod, to: to.pod, address };
        await runTcpCheck({ ...ends, mebibytes: 8 });
        const load = await runUdpLoad({ ...ends, rate: 5000, packets: 500, size: 200, flows: 4 });
        const losses = [load.lost, load.sink.corrupt, load.sink.duplicates];
        assert.deepEqual(losses, [0, 0, 0], `${from.pod} to ${to.pod} at ${address}`);
      }
    }
    for (const node of [one, other]) {
      const counters = await restingCounters(node);
      assertNothingDropped(counters, node.namespace);
      assert.ok(
        counters.encap.txPackets > 5000n,
        `${node.namespace} sent only ${counters.encap.txPackets} packets itself`,
      );
    }
  });
});

test("DirectRouting follows the routing table of each node, in both families", { skip: rootNeeded }, async () => {
  const backendOptions = { DirectRouting: true };
  await withLab({ dataplane: "kernel", ipv6: true, backendOptions }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const { gateway, ipv6 } = await subnetOf(other);
    assert.ok(ipv6 !== null);
    const subnets = [gateway.replace(/\.1$/, ".0/24"), ipv6.gateway.replace(/::1$/, "::/64")];
    const follow = (device: string) =>
      Promise.all(subnets.map((subnet) => awaitRoute(one, subnet, new RegExp(`dev ${device} `))));
    await follow("eth0");
    // A gateway comes between, and goes again; nobody tells the agent but the kernel.
    const via = [
      [`${other.underlay}/32`, plan.gateway],
      [`${other.underlayV6}/128`, plan.ipv6?.gateway ?? ""],
    ] as const;
    for (const [to, gate] of via) await runner.must("ip", ["-n", one.namespace, "route", "add", to, "via", gate]);
    await follow("flannel(-v6)?[.]1");
    for (const [to] of via) await runner.must("ip", ["-n", one.namespace, "route", "delete", to]);
    await follow("eth0");
  });
});

test("a killed data plane costs milliseconds, and the agent starts another", { skip: rootNeeded }, async () => {
  await withLab({}, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const { pid } = await planeOf(one);
    const ping = new PingRun({ from: one.pod, address: await addressOf(other), count: 1000, intervalMs: 2 });
    await waitFor("the ping to be under way", async () => ping.answers >= 200 || null, {
      timeoutMs: 30_000,
      everyMs: 1,
    });
    process.kill(pid, "SIGKILL");
    await waitFor("another data plane", async () => successor(one, pid), { timeoutMs: 60_000 });
    const result = await ping.result();
    assert.ok(result.received > 900, `${result.lost} of ${result.sent} pings lost`);
    // How long on a machine that does nothing else, test/netns/faults.test.ts knows.
    assert.ok(result.gapMaxMs < 2_000, `silence of ${result.gapMaxMs} ms`);
  });
});

test("the lab changes the data plane of running nodes and keeps their leases", { skip: rootNeeded }, async () => {
  await withLab({ dataplane: "kernel" }, async (plan) => {
    const before = await Promise.all(plan.nodes.map(subnetOf));
    assert.deepEqual(await Promise.all(plan.nodes.map(viewPlane)), [null, null]);
    const context = { directory: plan.directory, report: () => undefined };
    for (const underlayPort of ["tap", "xdp"] as const) {
      await labUp({ ...DEFAULT_OPTIONS, prefix: testPrefix, dataplane: "userspace", underlayPort }, context);
      const kinds = (await Promise.all(plan.nodes.map(planeOf))).map((view) => portKind(view, "underlay"));
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

async function awaitRoute(node: LabNode, subnet: string, wanted: RegExp): Promise<void> {
  const family = subnet.includes(":") ? "-6" : "-4";
  const route = () => runner.must("ip", ["-n", node.namespace, family, "route", "show", subnet]);
  await waitFor(`the route to ${subnet} to be as ${wanted}`, async () => wanted.test(await route()) || null, {
    timeoutMs: 30_000,
    explain: route,
  });
}

async function successor(node: LabNode, killed: number): Promise<true | null> {
  const view = await runningPlane(node);
  return view !== null && view.pid !== killed ? true : null;
}
