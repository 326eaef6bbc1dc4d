// Each backend in a lab with real agents: ping both ways, whole TCP streams, small UDP, the MTU to the byte, exact accounting,
// and what happens to the nodes: join, leave, restart, another MAC, a device that somebody removes.
import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { agentName } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import { labUp } from "../../src/lab/lab.js";
import { linkMac } from "../../src/lab/links.js";
import { DEFAULT_OPTIONS, type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { portKind, runningPlane, viewPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { assertConserved, assertLaw, restingCounters } from "../support/accounting.js";
import { rootNeeded, testPrefix, withLab } from "../support/lab.js";

const options = { skip: rootNeeded };
const runner = new Runner();
const ICMP_OVERHEAD = 28;

test("udp: flannel0 carries pings, streams and datagrams at MTU 1472, and every packet is accounted for", options, () =>
  withLab({ nodes: 2, backend: "udp" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const first = await planeOf(one);
    assert.deepEqual([portKind(first, "overlay"), portKind(first, "underlay")], ["tun", "udp"]);
    assert.match(await ip(one, "link", "show", "flannel0"), /mtu 1472 /);
    await assertCarries(one, other, 1472);
    await assertCarries(other, one, 1472);
    const counters = await Promise.all(
      [one, other].map((node) => restingCounters(async () => (await planeOf(node)).counters)),
    );
    const [near, far] = counters as [(typeof counters)[0], (typeof counters)[0]];
    assertLaw(near, one.namespace);
    assertLaw(far, other.namespace);
    assertConserved(near, far);
    assert.ok(near.encap.txPackets > 5000n, `only ${near.encap.txPackets} packets went through ${one.namespace}`);
    assert.equal((await planeOf(one)).pid, first.pid);
  }),
);

test("udp: the overlay comes back when the data plane is killed and when flannel0 is removed", options, () =>
  withLab({ nodes: 2, backend: "udp" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const { pid } = await planeOf(one);
    process.kill(pid, "SIGKILL");
    await waitFor("another data plane", async () => ((await runningPlane(one))?.pid ?? pid) !== pid || null, {
      timeoutMs: 15_000,
    });
    await assertReaches(one, other);
    await ip(one, "link", "delete", "flannel0");
    await assertReaches(one, other);
    await assertReaches(other, one);
  }),
);

test("host-gw: plain routes carry everything at the MTU of the underlay, without a data plane", options, () =>
  withLab({ nodes: 2, backend: "host-gw" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    assert.deepEqual(await Promise.all(plan.nodes.map(viewPlane)), [null, null]);
    await assertCarries(one, other, 1500);
    await assertCarries(other, one, 1500);
    assert.match(await ip(one, "route", "show", "proto", "158"), new RegExp(`via ${other.underlay} dev eth0`));
  }),
);

test("vxlan: three nodes through a join, a restart, another MAC and a leave", options, () =>
  withLab({ nodes: 2 }, async ({ directory }) => {
    const up = (nodes: number) =>
      labUp({ ...DEFAULT_OPTIONS, prefix: testPrefix, nodes }, { directory, report: () => undefined });
    const plan = await up(3);
    const [one, two, three] = plan.nodes as readonly [LabNode, LabNode, LabNode];
    await assertCarries(one, three, 1450);
    await assertCarries(three, two, 1450);

    const before = await linkMac(runner, two.namespace, "flannel.1");
    await stopDaemon(directory, agentName(two));
    await up(3);
    assert.equal(await linkMac(runner, two.namespace, "flannel.1"), before, "a restart changes nothing");
    await assertReaches(one, two);

    await stopDaemon(directory, agentName(two));
    await forget(plan, two);
    await up(3);
    const after = await linkMac(runner, two.namespace, "flannel.1");
    assert.ok(after !== null && after !== before, `${two.namespace} still has the MAC ${before}`);
    await assertReaches(one, two);
    await assertReaches(two, three);
    await waitFor("the old MAC to go", async () => (await fdb(one)).includes(before ?? "") === false || null, {
      timeoutMs: 5000,
    });
    assert.ok((await fdb(one)).includes(after));

    const subnet = await subnetOf(three);
    await up(2);
    await rm(join(labFiles.store(directory), "subnets", await leaseFile(plan, subnet.gateway)));
    await waitFor("nothing of the third node to be left", async () => (await traces(one, three)) === "" || null, {
      timeoutMs: 5000,
      explain: () => traces(one, three),
    });
    await assertReaches(two, one);
  }),
);

/** A stream each byte of which is compared, datagrams of which none is lost, and the longest packet, one byte not more. */
async function assertCarries(from: LabNode, to: LabNode, mtu: number): Promise<void> {
  await assertReaches(from, to);
  const address = podAddress(await subnetOf(to));
  assert.equal((await subnetOf(from)).mtu, mtu);
  const ends = { from: from.pod, to: to.pod, address };
  await runTcpCheck({ ...ends, mebibytes: 8 });
  const load = await runUdpLoad({ ...ends, rate: 4000, packets: 2000, size: 50, flows: 4 });
  assert.deepEqual([load.lost, load.sink.corrupt, load.sink.duplicates], [0, 0, 0], `${from.pod} to ${to.pod}`);
  const longest = await ping(from, address, mtu - ICMP_OVERHEAD);
  assert.equal(longest.code, 0, `${mtu} bytes do not pass: ${longest.stdout}`);
  const longer = await ping(from, address, mtu - ICMP_OVERHEAD + 1);
  assert.match(longer.stderr + longer.stdout, /message too long, mtu[ =]\d+/);
}

async function assertReaches(from: LabNode, to: LabNode): Promise<void> {
  const address = podAddress(await subnetOf(to));
  await waitFor(`${from.pod} to reach ${to.pod}`, async () => (await ping(from, address, 56)).code === 0 || null, {
    timeoutMs: 15_000,
  });
}

function ping(from: LabNode, address: string, size: number) {
  return runner.runIn(from.pod, "ping", ["-n", "-c", "1", "-W", "1", "-M", "do", "-s", String(size), address]);
}

async function ip(node: LabNode, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runner.runIn(node.namespace, "ip", words);
  assert.equal(code, 0, `ip ${words.join(" ")}: ${stderr}`);
  return stdout;
}

async function fdb(node: LabNode): Promise<string> {
  return (await runner.runIn(node.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"])).stdout;
}

/** What the first node's kernel still knows of the second. */
async function traces(node: LabNode, of: LabNode): Promise<string> {
  const routes = (await ip(node, "route", "show", "dev", "flannel.1")).trim().split("\n");
  const entries = (await fdb(node)).split("\n").filter((line) => line.includes(`dst ${of.underlay} `));
  return [...routes.slice(1), ...entries].join("; ");
}

/** As after a reinstallation: the device and everything that remembers its MAC are gone. */
async function forget(plan: LabPlan, node: LabNode): Promise<void> {
  const { gateway } = await subnetOf(node);
  await rm(join(labFiles.store(plan.directory), "subnets", await leaseFile(plan, gateway)));
  await rm(join(node.directory, "state"), { recursive: true });
  await ip(node, "link", "delete", "flannel.1");
}

async function leaseFile(plan: LabPlan, gateway: string): Promise<string> {
  const start = gateway.replace(/\.1$/, ".0-");
  const found = (await readdir(join(labFiles.store(plan.directory), "subnets"))).find((name) => name.startsWith(start));
  assert.ok(found !== undefined, `no lease starts with ${start}`);
  return found;
}

async function subnetOf(node: LabNode) {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has no subnet.env`);
  return subnet;
}

async function planeOf(node: LabNode) {
  const view = await viewPlane(node);
  assert.ok(view !== null, `${node.namespace} has no data plane`);
  return view;
}
