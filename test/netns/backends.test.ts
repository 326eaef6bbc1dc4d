// Each backend in a lab of three nodes with real agents: whole TCP streams, small UDP and the MTU to the byte, both ways and in
// both families where the backend has them, and what happens to nodes: join, restart, another MAC, another IP address, leave.
// First: it takes every backend through every change of a cluster.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { agentName } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import { labUp } from "../../src/lab/lab.js";
import { linkMac } from "../../src/lab/links.js";
import { DEFAULT_OPTIONS, type LabNode, type LabOptions, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { portKind, runningPlane, viewPlane } from "../../src/lab/plane.js";
import { Runner } from "../../src/lab/runner.js";
import { waitFor } from "../../src/lab/wait.js";
import { FileStore } from "../../src/store/file/file-store.js";
import {
  assertCarriedBy,
  assertCarries,
  assertReaches,
  awaitNoTraces,
  type Datagrams,
  deleteLease,
  ip,
  type Mtu,
  subnetOf,
  tracesOf,
  wordsOf,
} from "../support/backend-lab.js";
import { kernelLacks } from "../support/kernel.js";
import { rootNeeded, testPrefix, withLab } from "../support/lab.js";
import { withWireguard, wireguardMissing } from "../support/lab-wireguard.js";

const options = { skip: rootNeeded };
const runner = new Runner();
const RIPSTOP = "bin/ripstop";

interface Life {
  readonly skip?: string | false;
  /** Around the whole of it. */
  readonly inside?: (body: () => Promise<void>) => Promise<void>;
  readonly lab: Partial<LabOptions>;
  readonly mtu: Mtu;
  /** MTU of each device of the overlay. */
  readonly devices: Readonly<Record<string, number>>;
  /** True: a data plane carries every packet. */
  readonly userspace: boolean;
  readonly datagrams?: Datagrams;
  /** False: pods do not reach those of other nodes, and a node knows nothing of the others. */
  readonly carries?: false;
}

const LIVES: Readonly<Record<string, Life>> = {
  vxlan: {
    lab: { backend: "vxlan", ipv6: true },
    mtu: { v4: 1450, v6: 1430 },
    devices: { "flannel.1": 1450, "flannel-v6.1": 1430 },
    userspace: true,
  },
  udp: { lab: { backend: "udp" }, mtu: { v4: 1472, v6: 0 }, devices: { flannel0: 1472 }, userspace: true },
  "host-gw": { lab: { backend: "host-gw", ipv6: true }, mtu: { v4: 1500, v6: 1500 }, devices: {}, userspace: false },
  wireguard: {
    skip: wireguardMissing(),
    inside: withWireguard,
    lab: { backend: "wireguard", ipv6: true },
    mtu: { v4: 1420, v6: 1420 },
    devices: { "flannel-wg": 1420, "flannel-wg-v6": 1420 },
    userspace: false,
    // Fewer than the queue of a TUN holds: on a busy machine nobody reads for a while.
    datagrams: { rate: 1000, packets: 400 },
  },
  ipip: {
    skip: kernelLacks("ipip"),
    lab: { backend: "ipip" },
    mtu: { v4: 1480, v6: 0 },
    devices: { "flannel.ipip": 1480 },
    userspace: false,
  },
  alloc: {
    lab: { backend: "alloc" },
    mtu: { v4: 1500, v6: 0 },
    devices: {},
    userspace: false,
    carries: false,
  },
  extension: {
    lab: {
      backend: "extension",
      backendOptions: {
        PreStartupCommand: "echo carried by hand",
        SubnetAddCommand: "ip route replace $SUBNET via $PUBLIC_IP proto 77",
        SubnetRemoveCommand: "ip route delete $SUBNET via $PUBLIC_IP proto 77",
      },
    },
    mtu: { v4: 1500, v6: 0 },
    devices: {},
    userspace: false,
  },
};

for (const [name, life] of Object.entries(LIVES)) {
  const skip = rootNeeded || (life.skip ?? false);
  const inside = life.inside ?? ((body) => body());
  test(`${name}: three nodes through a join, a restart, another MAC, another address and a leave`, { skip }, () =>
    inside(() => live(life)),
  );
}

async function live(life: Life): Promise<void> {
  await withLab({ ...life.lab, nodes: 2 }, async ({ directory }) => {
    const up = (nodes: number) =>
      labUp({ ...DEFAULT_OPTIONS, prefix: testPrefix, ...life.lab, nodes }, { directory, report: () => undefined });
    const plan = await up(3);
    const [one, two, three] = plan.nodes as readonly [LabNode, LabNode, LabNode];
    const reaches = life.carries === false ? assertApart : assertReaches;
    await assertJoined(life, plan);
    const subnet = await subnetOf(two);

    await stopDaemon(directory, agentName(two));
    const before = await identities(two, life);
    const starts = await readyCount(plan, two);
    await up(3);
    const again = async () => (await readyCount(plan, two)) > starts || null;
    await waitFor(`${two.namespace} to be ready again`, again, { timeoutMs: 30_000 });
    assert.deepEqual(await identities(two, life), before, "a restart keeps the devices");
    await reaches(one, two);

    await changeNic(two);
    await reaches(two, one);
    await reaches(two, three);

    await moveAway(plan, two);
    await awaitAnnounced(plan, `192.168.77.${two.index + 100}`);
    assert.deepEqual(await subnetOf(two), subnet, "a node keeps its subnet");
    await reaches(one, two);
    await reaches(two, three);
    await awaitNoTraces(one, [two.underlay, ...(two.underlayV6 === null ? [] : [two.underlayV6])]);

    const words = await wordsOf(three);
    const known = life.carries !== false && life.lab.backend !== "udp";
    assert.equal((await tracesOf(one, words)) !== "", known, "whether there is something to remove");
    const leaving = await subnetOf(three);
    await up(2);
    await deleteLease(plan, leaving);
    await awaitNoTraces(one, words);
    if (life.userspace) await awaitPeers(one, life.lab.ipv6 === true ? 2 : 1);
    await reaches(two, one);
    await assertCleanedUp(plan, one, words);
  });
}

/** Which devices a node has: a device that was made anew has another index. */
async function identities(node: LabNode, { devices }: Life): Promise<readonly string[]> {
  const shown = Object.keys(devices).map((device) => ip(node, "-o", "link", "show", device));
  return (await Promise.all(shown)).map((text) =>
    text.replace(/^(\d+: [^:@]+).*?(link\/\S+( [0-9a-f:]{17})?).*$/s, "$1 $2"),
  );
}

/** How often the node's agent has become ready: the files of its last run are there at once. */
async function readyCount({ directory }: LabPlan, node: LabNode): Promise<number> {
  const log = await readFile(labFiles.log(directory, agentName(node)), "utf8");
  return log.split('"msg":"ready"').length - 1;
}

/** All that a backend is for, between the old nodes and the new one, and from the new one. */
async function assertJoined(life: Life, { nodes }: LabPlan): Promise<void> {
  const [one, two, three] = nodes as readonly [LabNode, LabNode, LabNode];
  for (const [device, mtu] of Object.entries(life.devices)) {
    assert.match(await ip(one, "link", "show", device), new RegExp(`mtu ${mtu} `));
  }
  if (life.carries === false) {
    const subnets = await Promise.all(nodes.map(subnetOf));
    assert.equal(new Set(subnets.map(({ gateway }) => gateway)).size, 3);
    for (const { mtu } of subnets) assert.equal(mtu, life.mtu.v4);
    await assertApart(one, three);
  } else {
    await assertCarries(one, three, life.mtu, life.datagrams);
    await assertCarries(three, two, life.mtu, life.datagrams);
    await assertReaches(one, two);
  }
  for (const node of life.userspace ? nodes : []) await assertCarriedBy(node, 1000n);
  if (!life.userspace) assert.deepEqual(await Promise.all(nodes.map(viewPlane)), [null, null, null]);
}

/** Neither node knows of the other. */
async function assertApart(one: LabNode, other: LabNode): Promise<void> {
  assert.equal(await tracesOf(one, await wordsOf(other)), "");
  assert.equal(await tracesOf(other, await wordsOf(one)), "");
}

/** The store has a lease of a node at this address. */
async function awaitAnnounced({ directory }: LabPlan, address: string): Promise<void> {
  const store = new FileStore({ directory: labFiles.store(directory) });
  const announced = async () => {
    const { leases } = await store.listLeases(AbortSignal.timeout(30_000));
    return [...leases.values()].some(({ attrs }) => attrs.publicIp === parseIpv4(address)) || null;
  };
  try {
    await waitFor(`${address} to be announced`, announced, { timeoutMs: 30_000 });
  } finally {
    await store.close();
  }
}

/** Another network card; it tells its neighbors, as an operator would want it to. */
async function changeNic(node: LabNode): Promise<void> {
  await runner.mustIn(node.namespace, "sysctl", [
    "-qw",
    "net.ipv6.conf.all.ndisc_notify=1",
    "net.ipv4.conf.all.arp_notify=1",
  ]);
  await ip(node, "link", "set", "eth0", "address", "02:00:00:00:77:02");
}

/** The node's external interface gets other addresses, as after DHCP; its agent is not told. */
async function moveAway(plan: LabPlan, node: LabNode): Promise<void> {
  await ip(node, "address", "flush", "dev", "eth0", "scope", "global");
  await ip(node, "address", "add", `192.168.77.${node.index + 100}/${plan.underlayPrefixLength}`, "dev", "eth0");
  await ip(node, "route", "replace", "default", "via", plan.gateway);
  if (plan.ipv6 === null) return;
  const v6 = `fd00:77::1:${node.index}/${plan.ipv6.underlayPrefixLength}`;
  await ip(node, "address", "add", v6, "dev", "eth0", "nodad");
  await ip(node, "-6", "route", "replace", "default", "via", plan.ipv6.gateway);
}

async function awaitPeers(node: LabNode, peers: number): Promise<void> {
  const count = async () => (await runningPlane(node))?.inspection.peers;
  await waitFor(`${peers} peers in the data plane`, async () => (await count()) === peers || null, {
    timeoutMs: 30_000,
    explain: async () => `it has ${await count()}`,
  });
}

/** `ripstop cleanup` on a node whose agent has ended: only what the lab itself made is left. */
async function assertCleanedUp({ directory }: LabPlan, node: LabNode, others: readonly string[]): Promise<void> {
  await stopDaemon(directory, agentName(node));
  const folder = (name: string) => join(node.directory, name);
  const where = ["--run-dir", folder("run"), "--state-dir", folder("state"), "--subnet-file", folder("subnet.env")];
  const keyFile = folder("wgkey");
  const command = [`WIREGUARD_KEY_FILE=${keyFile}`, process.execPath, RIPSTOP, "cleanup", ...where];
  const done = await runner.runIn(node.namespace, "env", command);
  assert.equal(done.code, 0, done.stderr);
  const links = JSON.parse(await ip(node, "-json", "link", "show")) as ReadonlyArray<{ readonly ifname: string }>;
  assert.deepEqual(links.map(({ ifname }) => ifname).sort(), ["cni0", "eth0", "lo", "pod0"]);
  assert.equal(await ip(node, "route", "show", "proto", "158"), "");
  assert.equal(await ip(node, "-6", "route", "show", "proto", "158"), "");
  assert.equal(await tracesOf(node, others), "");
  const filters = await runner.mustIn(node.namespace, "tc", ["filter", "show", "dev", "eth0", "ingress"]);
  assert.equal(filters, "");
  assert.equal(existsSync(keyFile), false);
}

test(
  "vxlan: a reinstalled peer has another VTEP MAC in both families, and nothing of the old one is left",
  options,
  () =>
    withLab({ nodes: 2, ipv6: true }, async (plan) => {
      const [one, two] = plan.nodes as readonly [LabNode, LabNode];
      const before = await linkMac(runner, two.namespace, "flannel.1");
      assert.ok(before !== null && (await tracesOf(one, [before])) !== "", "the first MAC is known");
      await stopDaemon(plan.directory, agentName(two));
      await deleteLease(plan, await subnetOf(two));
      await rm(join(two.directory, "state"), { recursive: true });
      for (const device of ["flannel.1", "flannel-v6.1"]) await ip(two, "link", "delete", device);
      await labUp(plan.options, { directory: plan.directory, report: () => undefined });
      const after = await linkMac(runner, two.namespace, "flannel.1");
      assert.ok(after !== null && after !== before, `${two.namespace} still has the MAC ${before}`);
      await assertReaches(one, two);
      await awaitNoTraces(one, [before]);
      const fdb = await tracesOf(one, [after]);
      assert.match(fdb, /dev flannel\.1 dst 192\.168\.77\.2 /);
      assert.match(fdb, /dev flannel-v6\.1 dst fd00:77::2 /);
    }),
);

test("udp: the overlay comes back when the data plane is killed and when flannel0 is removed", options, () =>
  withLab({ nodes: 2, backend: "udp" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const first = await viewPlane(one);
    assert.ok(first !== null);
    assert.deepEqual([portKind(first, "overlay"), portKind(first, "underlay")], ["tun", "udp"]);
    const { pid } = first;
    process.kill(pid, "SIGKILL");
    await waitFor("another data plane", async () => ((await runningPlane(one))?.pid ?? pid) !== pid || null, {
      timeoutMs: 30_000,
    });
    await assertReaches(one, other);
    await ip(one, "link", "delete", "flannel0");
    await assertReaches(one, other);
  }),
);

test("vxlan: a dual-stack data plane comes back when either of its devices is removed", options, () =>
  withLab({ nodes: 2, ipv6: true }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    for (const device of ["flannel-v6.1", "flannel.1"]) {
      await ip(one, "link", "delete", device);
      await waitFor(`the data plane to carry both families over a new ${device}`, () => carriesBoth(one, other), {
        timeoutMs: 30_000,
      });
    }
  }),
);

/** A data plane that stands on a device that is gone drops what comes in; the kernel path would not be counted. */
async function carriesBoth(one: LabNode, other: LabNode): Promise<true | null> {
  const before = await runningPlane(one);
  await assertReaches(one, other);
  const after = await runningPlane(one);
  if (before === null || after === null) return null;
  const carried = (lane: "encap" | "decap") => after.counters[lane].txPackets - before.counters[lane].txPackets;
  return (carried("encap") >= 4n && carried("decap") >= 4n) || null;
}
