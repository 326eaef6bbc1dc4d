// The subnet manager over a real file store, with time moved by hand: one owner per subnet, nothing overwritten unseen,
// nothing lost.
import assert from "node:assert/strict";
import { mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { formatPrefix, parsePrefix4 } from "../../../src/addr/prefix.js";
import { parseNetworkConfig } from "../../../src/config/network-config.js";
import type { Lease, LeaseAttrs } from "../../../src/lease/lease.js";
import { openFileStore } from "../../../src/store/file/file-store.js";
import type { Store, Subnets } from "../../../src/store/store.js";
import type { SubnetEvent } from "../../../src/subnet/events.js";
import { SubnetManager } from "../../../src/subnet/manager.js";
import type { PeerSnapshot } from "../../../src/subnet/peer-view.js";
import { vxlanAttrs } from "../../support/lease-builder.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

const HOUR = 3_600_000;
const RANGES = parseNetworkConfig('{"Network":"10.1.0.0/16","Backend":{"Type":"vxlan"}}');

interface Cluster {
  readonly path: string;
  readonly clock: ManualClock;
  readonly store: Store;
  readonly signal: AbortSignal;
  /** Ends with the signal; awaited before the directory goes. */
  readonly running: Promise<void>[];
}

async function cluster(t: TestContext): Promise<Cluster> {
  const path = await mkdtemp(join(tmpdir(), "ripstop-manager-"));
  const stop = new AbortController();
  const running: Promise<void>[] = [];
  t.after(async () => {
    stop.abort();
    await Promise.all(running);
    await rm(path, { recursive: true, force: true });
  });
  const clock = new ManualClock();
  return { path, clock, store: await openFileStore({ directory: path, clock }), signal: stop.signal, running };
}

class Node {
  readonly events: SubnetEvent[] = [];
  readonly manager: SubnetManager;
  readonly #cluster: Cluster;
  readonly #attrs: LeaseAttrs;
  latest: PeerSnapshot | null = null;

  constructor(
    cluster: Cluster,
    address: string,
    options: { previous?: Subnets; ranges?: typeof RANGES; mac?: string; former?: Lease } = {},
  ) {
    this.#cluster = cluster;
    this.#attrs = vxlanAttrs(address, options.mac);
    this.manager = new SubnetManager({
      store: cluster.store,
      ranges: options.ranges ?? RANGES,
      previous: options.previous ?? null,
      former: options.former ?? null,
      renewMarginMs: HOUR,
      clock: cluster.clock,
      report: (event) => this.events.push(event),
    });
  }

  acquire(): Promise<Lease> {
    return this.manager.acquire(
      this.#attrs,
      async (previous) => (previous === null ? this.#attrs : { ...this.#attrs, backendData: previous.backendData }),
      this.#cluster.signal,
    );
  }

  async start(): Promise<Lease> {
    const lease = await this.acquire();
    this.#cluster.running.push(this.manager.run(this.#cluster.signal));
    void (async () => {
      for await (const peers of this.manager.peers(this.#cluster.signal)) this.latest = peers;
    })();
    await until("the first snapshot", () => this.latest !== null);
    return lease;
  }

  saw(kind: SubnetEvent["kind"]): number {
    return this.events.filter((event) => event.kind === kind).length;
  }
}

const stored = async ({ store, signal }: Cluster) => (await store.listLeases(signal)).leases;

test("takes a free subnet in the range, and a restarted node takes its own again with its MAC", async (t) => {
  const world = await cluster(t);
  const first = await new Node(world, "192.0.2.1", { mac: "02:00:00:00:00:aa" }).acquire();
  assert.ok(first.subnet !== null && formatPrefix(first.subnet).endsWith("/24"));
  const restarted = new Node(world, "192.0.2.1", { mac: "02:00:00:00:00:bb" });
  const again = await restarted.acquire();
  assert.equal(again.key, first.key);
  assert.deepEqual(again.attrs.backendData, { VNI: 1, VtepMAC: "02:00:00:00:00:aa" });
  assert.equal((await stored(world)).size, 1);
  assert.equal(restarted.events[0]?.kind === "acquired" && restarted.events[0].how, "reused");
});

test("a node that starts with another address keeps its subnet, unless somebody wrote the record since", async (t) => {
  const world = await cluster(t);
  const former = await new Node(world, "192.0.2.1", { mac: "02:00:00:00:00:aa" }).acquire();
  const moved = new Node(world, "192.0.2.9", { mac: "02:00:00:00:00:bb", former });
  const kept = await moved.acquire();
  assert.equal(kept.key, former.key);
  assert.deepEqual(kept.attrs, vxlanAttrs("192.0.2.9", "02:00:00:00:00:aa"));
  assert.equal((await stored(world)).size, 1, "nothing is left under the old address");

  // What it remembers is not what the record says any more: the record is another node's.
  const stale = new Node(world, "192.0.2.10", { former });
  assert.notEqual((await stale.acquire()).key, former.key);
  assert.deepEqual((await stored(world)).get(former.key)?.attrs, kept.attrs);
});

test("takes the subnet of subnet.env when it is free and fits, else another", async (t) => {
  const world = await cluster(t);
  const previous: Subnets = { subnet: parsePrefix4("10.1.77.0/24"), ipv6Subnet: null };
  assert.equal((await new Node(world, "192.0.2.1", { previous }).acquire()).key, "10.1.77.0-24");
  assert.notEqual((await new Node(world, "192.0.2.2", { previous }).acquire()).key, "10.1.77.0-24");
  const outside: Subnets = { subnet: parsePrefix4("10.2.77.0/24"), ipv6Subnet: null };
  assert.match((await new Node(world, "192.0.2.3", { previous: outside }).acquire()).key, /^10\.1\./);
});

test("replaces its own lease when the configuration no longer fits, but leaves a reservation alone", async (t) => {
  const world = await cluster(t);
  const old = await new Node(world, "192.0.2.1").acquire();
  await writeFile(join(world.path, "subnets", "10.1.200.0-25"), '{"PublicIP":"192.0.2.1"}');
  const ranges = parseNetworkConfig('{"Network":"10.1.0.0/16","SubnetLen":26,"Backend":{"Type":"vxlan"}}');
  const fresh = await new Node(world, "192.0.2.1", { ranges }).acquire();
  assert.match(fresh.key, /-26$/);
  assert.deepEqual([...(await stored(world)).keys()].sort(), ["10.1.200.0-25", fresh.key].sort());
  assert.notEqual(fresh.key, old.key);
});

test("a reservation is honoured and stays without expiry", async (t) => {
  const world = await cluster(t);
  await writeFile(join(world.path, "subnets", "10.1.9.0-24"), '{"PublicIP":"192.0.2.1"}');
  const lease = await new Node(world, "192.0.2.1").acquire();
  assert.equal(lease.key, "10.1.9.0-24");
  assert.equal(lease.expiresAt, null);
});

test("nodes that start together never share a subnet", async (t) => {
  const world = await cluster(t);
  const ranges = parseNetworkConfig(
    '{"Network":"10.1.0.0/16","SubnetMin":"10.1.1.0","SubnetMax":"10.1.12.0","Backend":{"Type":"vxlan"}}',
  );
  const nodes = Array.from({ length: 12 }, (_, i) => new Node(world, `192.0.2.${i + 1}`, { ranges }));
  let done = 0;
  const leases = nodes.map(async (node) => {
    const lease = await node.acquire();
    done++;
    return lease;
  });
  await until("all have one", () => {
    world.clock.advance(10);
    return done === nodes.length;
  });
  const keys = (await Promise.all(leases)).map((lease) => lease.key);
  assert.equal(new Set(keys).size, 12);
});

test("with no subnet free it says so, and takes one as soon as it frees", async (t) => {
  const world = await cluster(t);
  const ranges = parseNetworkConfig(
    '{"Network":"10.1.0.0/16","SubnetMin":"10.1.1.0","SubnetMax":"10.1.1.0","Backend":{"Type":"vxlan"}}',
  );
  const holder = await new Node(world, "192.0.2.1", { ranges }).acquire();
  const waiting = new Node(world, "192.0.2.2", { ranges });
  const acquired = waiting.acquire();
  await until("exhaustion is reported", () => waiting.saw("exhausted") === 1);
  await world.store.deleteLease(holder, world.signal);
  assert.equal((await acquired).key, holder.key);
});

test("renews before the margin and says so", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  const lease = await node.start();
  world.clock.advance(22.9 * HOUR);
  assert.equal(node.saw("renewed"), 0);
  world.clock.advance(0.2 * HOUR);
  await until("the renewal", () => node.saw("renewed") === 1);
  assert.ok((node.manager.own?.expiresAt ?? 0) > (lease.expiresAt ?? 0));
  world.clock.advance(23.5 * HOUR);
  await until("the second renewal", () => node.saw("renewed") === 2);
  assert.deepEqual([...(await stored(world)).keys()], [lease.key]);
});

test("writes the same subnet again when its record vanishes", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  const lease = await node.start();
  await world.store.deleteLease(lease, world.signal);
  await until("the record is back", async () => (await stored(world)).has(lease.key));
  await until("it is reported", () => node.saw("restored") === 1);
  assert.equal(node.saw("revoked"), 1);
  assert.equal(node.manager.standing, "held");
});

test("stands back when another node took its subnet, and returns when it is free again", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  const lease = await node.start();
  for (const name of await readdir(join(world.path, "subnets"))) await rm(join(world.path, "subnets", name));
  await writeFile(join(world.path, "subnets", `${lease.key}@9`), '{"PublicIP":"192.0.2.66","Created":"1"}');
  await until("the loss is reported", () => node.saw("lost") === 1);
  world.clock.advance(30 * HOUR);
  const holder = (await stored(world)).get(lease.key);
  assert.equal(holder?.modRevision, 9n, "never overwritten");
  assert.ok(holder !== undefined);
  await world.store.deleteLease(holder, world.signal);
  await until("it is ours again", () => node.manager.standing === "held");
  assert.equal((await stored(world)).get(lease.key)?.attrs.publicIp, 0xc0000201);
});

test("stands back when another node holds a part of its subnet under another key", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  const lease = await node.start();
  const own = await readdir(join(world.path, "subnets"));
  const part = lease.key.replace("-24", "-25");
  // First the rival's record, then the loss of ours: the other way round the node may write its own again in between.
  await writeFile(join(world.path, "subnets", `${part}@9`), '{"PublicIP":"192.0.2.66","Created":"1"}');
  for (const name of own) await rm(join(world.path, "subnets", name));
  await until("the loss is reported", () => node.saw("lost") === 1);
  world.clock.advance(30 * HOUR);
  assert.deepEqual([...(await stored(world)).keys()], [part], "nothing is written beside it");
  const holder = (await stored(world)).get(part);
  assert.ok(holder !== undefined);
  await world.store.deleteLease(holder, world.signal);
  await until("it is ours again", () => node.manager.standing === "held");
  assert.deepEqual([...(await stored(world)).keys()], [lease.key]);
});

test("a changed address rewrites the record and keeps the subnet", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  const lease = await node.start();
  node.manager.announce(vxlanAttrs("192.0.2.111"), vxlanAttrs("192.0.2.111"));
  await until("peers can read it", async () => (await stored(world)).get(lease.key)?.attrs.publicIp === 0xc000026f);
  assert.equal((await stored(world)).size, 1);
});

test("two nodes with one public IP are reported and do not rewrite each other in a loop", async (t) => {
  const world = await cluster(t);
  const first = new Node(world, "192.0.2.1", { mac: "02:00:00:00:00:01" });
  const lease = await first.start();
  const usurper = await world.store.renewLease(lease, vxlanAttrs("192.0.2.1", "02:00:00:00:00:02"), 60, world.signal);
  assert.ok(usurper.created);
  await until("it is reported", () => first.saw("contested") === 1);
  assert.equal((await stored(world)).get(lease.key)?.modRevision, usurper.lease.modRevision);
  world.clock.advance(60_000);
  await until("it is tried once a minute", () => first.saw("renewed") === 1);
});

test("peers are seen, changed and removed without touching each other", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  await node.start();
  const second = await new Node(world, "192.0.2.2").acquire();
  const third = await new Node(world, "192.0.2.3").acquire();
  const keys = () => [...(node.latest?.peers.keys() ?? [])].sort();
  await until("both peers", () => keys().length === 2);
  await writeFile(join(world.path, "subnets", "10.1.250.0-24@1"), "garbage");
  await until("the bad record is reported", () => node.latest?.quarantined.length === 1);
  assert.deepEqual(keys(), [second.key, third.key].sort());
  const changed = await world.store.renewLease(second, vxlanAttrs("192.0.2.22"), 60, world.signal);
  assert.ok(changed.created);
  await until("the new address", () => node.latest?.peers.get(second.key)?.attrs.publicIp === 0xc0000216);
  await world.store.deleteLease(third, world.signal);
  await until("one left", () => keys().length === 1);
});

test("an emptied store takes no peer away while its owner writes it again", async (t) => {
  const world = await cluster(t);
  const nodes = Array.from({ length: 4 }, (_, i) => new Node(world, `192.0.2.${i + 1}`));
  for (const node of nodes) await node.start();
  await until("all see all", () => nodes.every((node) => node.latest?.peers.size === 3));
  const sizes: number[] = [];
  void (async () => {
    for await (const { peers } of nodes[0]?.manager.peers(world.signal) ?? []) sizes.push(peers.size);
  })();
  await rename(join(world.path, "subnets"), join(world.path, "lost"));
  await until("all are restored", async () => (await stored(world)).size === 4);
  await until("nothing is held back any more", () =>
    nodes.every((node) => node.latest?.heldBack === 0 && node.latest.peers.size === 3),
  );
  assert.deepEqual([...new Set(sizes)], [3]);
});

test("peers of an emptied store go when nobody writes them again", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  await node.start();
  await new Node(world, "192.0.2.2").acquire();
  await until("the peer", () => node.latest?.peers.size === 1);
  await rename(join(world.path, "subnets"), join(world.path, "lost"));
  await until("ours is restored", () => node.saw("restored") === 1);
  assert.equal(node.latest?.peers.size, 1);
  world.clock.advance(61_000);
  await until("the peer goes", () => node.latest?.peers.size === 0);
});

test("a lost store is reported once, keeps every peer, and is recovered from", async (t) => {
  const world = await cluster(t);
  const node = new Node(world, "192.0.2.1");
  await node.start();
  await new Node(world, "192.0.2.2").acquire();
  await until("the peer", () => node.latest?.peers.size === 1);
  await rename(world.path, `${world.path}.away`);
  await writeFile(world.path, "not a directory");
  world.clock.advance(23.5 * HOUR);
  await until("the failure", () => node.saw("store-failed") === 1);
  for (let i = 0; i < 5; i++) world.clock.advance(60_000);
  assert.equal(node.latest?.peers.size, 1);
  await rm(world.path);
  await rename(`${world.path}.away`, world.path);
  await until("the recovery", () => {
    world.clock.advance(10_000);
    return node.saw("store-recovered") === 1 && node.saw("renewed") > 0;
  });
  assert.equal(node.saw("store-failed"), 1);
});

test("a remembered lease and its peers are gone on with and confirmed when the store answers", async (t) => {
  const world = await cluster(t);
  const lease = await new Node(world, "192.0.2.1").acquire();
  const peer = await new Node(world, "192.0.2.2").acquire();
  const node = new Node(world, "192.0.2.1");
  node.manager.adopt(
    { ...lease, expiresAt: null },
    lease.attrs,
    new Map([
      [lease.key, lease],
      [peer.key, peer],
    ]),
  );
  for await (const { peers } of node.manager.peers(world.signal)) {
    assert.deepEqual([...peers.keys()], [peer.key]);
    break;
  }
  world.running.push(node.manager.run(world.signal));
  await until("it is confirmed", () => node.saw("renewed") === 1);
  assert.ok(Number.isFinite((await stored(world)).get(lease.key)?.expiresAt), "it still expires");
});

test("a remembered reservation stays one", async (t) => {
  const world = await cluster(t);
  await writeFile(join(world.path, "subnets", "10.1.9.0-24"), '{"PublicIP":"192.0.2.1"}');
  const lease = await new Node(world, "192.0.2.1").acquire();
  const node = new Node(world, "192.0.2.1");
  node.manager.adopt({ ...lease, expiresAt: null }, lease.attrs, new Map());
  world.running.push(node.manager.run(world.signal));
  await until("it is confirmed", () => node.saw("renewed") === 1);
  assert.equal((await stored(world)).get(lease.key)?.expiresAt, null);
});
