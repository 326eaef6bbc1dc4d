// Building peers again and again: what did not change is the same object, whatever else happens.
import assert from "node:assert/strict";
import { parseMac } from "../../../src/addr/mac.js";
import { test } from "node:test";
import { parsePrefix } from "../../../src/addr/prefix.js";
import { PeerBuilder } from "../../../src/backend/peer-builder.js";
import type { Peer } from "../../../src/dataplane/peer-table.js";
import { readVtepMac } from "../../../src/backend/vxlan/backend-data.js";
import { parseUnderlay } from "../../../src/host/text.js";
import type { Lease } from "../../../src/lease/lease.js";
import { lease, leaseMap, vxlanAttrs } from "../../support/lease-builder.js";
import { SeededRandom } from "../../support/random.js";

const network = parsePrefix("10.244.0.0/16");
const mine = parsePrefix("10.244.1.0/24");
const myAddress = parseUnderlay("192.0.2.1");
assert.ok(network && mine && myAddress);
const OWN = {
  leaseKey: "10.244.1.0-24",
  prefixes: [mine],
  underlay: [myAddress],
  vtepMac: parseMac("02:00:00:00:00:ff"),
};
const RULES = { leaseType: "vxlan", networks: [network], readVtepMac };
const encapsulated = () => false;
const node = (third: number, mac = third, revision = third): Lease =>
  lease(`10.244.${third}.0-24`, `192.0.2.${third}`, BigInt(revision), {
    attrs: vxlanAttrs(`192.0.2.${third}`, `02:00:00:00:00:${mac.toString(16).padStart(2, "0")}`),
  });

const readMac = (lease: Lease) =>
  new PeerBuilder(OWN, RULES).build(leaseMap(lease), encapsulated).peers[0]?.vtepMac ?? null;

test("a renewed lease gives the same peer, a changed MAC another one with the same number", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const [first] = builder.build(leaseMap(node(2)), encapsulated).peers;
  const [renewed] = builder.build(leaseMap({ ...node(2), modRevision: 99n }), encapsulated).peers;
  assert.equal(renewed, first);
  const [moved] = builder.build(leaseMap(node(2, 77)), encapsulated).peers;
  assert.notEqual(moved, first);
  assert.equal(moved?.id, first?.id);
});

test("a peer that becomes direct is another object, and stays it", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const leases = leaseMap(node(2), node(3));
  const [, other] = builder.build(leases, encapsulated).peers;
  const direct = builder.build(leases, ({ address }) => address === node(2).attrs.publicIp).peers;
  assert.deepEqual(
    direct.map((peer) => peer.direct),
    [true, false],
  );
  assert.equal(direct[1], other);
});

const aliasesOf = (peers: readonly Peer[]) => peers.filter(({ alias }) => alias !== undefined).map((p) => p.leaseKey);
/** As the Internet checksum sees it. */
const sumOf = (mac: string) => {
  const words = mac.replaceAll(":", "").match(/..../g) ?? [];
  return words.reduce((sum, word) => sum + Number.parseInt(word, 16), 0) % 0xffff;
};

test("of two nodes with one MAC the newer goes by an alias for as long as both have it", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const copy = node(3, 2);
  const both = builder.build(leaseMap(node(2), copy), encapsulated);
  assert.deepEqual(aliasesOf(both.peers), [copy.key]);
  assert.match(both.contested[0]?.reason ?? "", /claims the VTEP MAC 02:00:00:00:00:02, as 10\.244\.2\.0-24 does/);
  const [, known] = both.peers;
  assert.ok(known?.alias);
  assert.equal(known.vtepMac, "02:00:00:00:00:02");
  assert.equal(known.alias.slice(0, 5), "02:00");
  assert.equal(sumOf(known.alias), sumOf(known.vtepMac));
  const more = builder.build(leaseMap(node(2), copy, node(4)), encapsulated);
  assert.equal(more.peers[1], known, "the same object, with the same alias");
  const claimed = lease("10.244.5.0-24", "192.0.2.5", 5n, { attrs: vxlanAttrs("192.0.2.5", known.alias) });
  const again = builder.build(leaseMap(node(2), copy, node(4), claimed), encapsulated).peers;
  assert.deepEqual(aliasesOf(again), [copy.key], "who claims an alias is not in its way");
  assert.notEqual(again[1]?.alias, known.alias);
  const apart = builder.build(leaseMap(node(2, 9), copy), encapsulated);
  assert.deepEqual(aliasesOf(apart.peers), []);
  assert.deepEqual(apart.contested, []);
});

test("an older node that copies the MAC of a known one goes by an alias, and stays so", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const victim = node(9);
  const aliases = (...leases: Lease[]) => aliasesOf(builder.build(leaseMap(...leases), encapsulated).peers);
  assert.deepEqual(aliases(node(2), victim), []);
  assert.deepEqual(aliases(node(2, 9), victim), ["10.244.2.0-24"]);
  assert.deepEqual(aliases(node(2, 9), { ...victim, modRevision: 99n }, node(4)), ["10.244.2.0-24"]);
  assert.deepEqual(aliases(node(2, 9), node(9, 10), node(4)), []);
});

test("whatever came before, the peers are those that a new builder makes, but for who goes by an alias", () => {
  const random = new SeededRandom(5);
  const pick = (n: number) => random.below(n);
  const builder = new PeerBuilder(OWN, RULES);
  const leases = new Map<string, Lease>();
  let before: readonly Peer[] = [];
  for (let step = 0; step < 500; step++) {
    const third = 2 + pick(12);
    const chosen = node(third, 2 + pick(12), 1 + pick(50));
    if (pick(3) === 0) leases.delete(chosen.key);
    else leases.set(chosen.key, chosen);
    const snapshot = new Map(leases);
    const built = builder.build(snapshot, encapsulated);
    const fresh = new PeerBuilder(OWN, RULES).build(snapshot, encapsulated);
    const plain = (peers: readonly Peer[]) =>
      peers.map(({ alias: _, ...peer }) => ({ ...peer, id: 0 })).sort((a, b) => (a.leaseKey < b.leaseKey ? -1 : 1));
    assert.deepEqual(plain(built.peers), plain(fresh.peers), `step ${step}`);
    assert.equal(built.peers.length, leases.size, `step ${step}`);
    const local = new Set(built.peers.map(({ alias, vtepMac }) => alias ?? vtepMac));
    assert.equal(local.size, built.peers.length, `step ${step}: a MAC is one peer's`);
    for (const { leaseKey, vtepMac, alias } of before) {
      const lease = snapshot.get(leaseKey);
      if (alias !== undefined || lease === undefined || readMac(lease) !== vtepMac) continue;
      const now = built.peers.find((peer) => peer.leaseKey === leaseKey);
      assert.equal(now?.alias, undefined, `step ${step}: ${leaseKey} lost its MAC`);
    }
    before = built.peers;
  }
});

test("peers keep their places, and the last one takes that of one that went", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const build = (...thirds: number[]) =>
    builder.build(leaseMap(...thirds.map((third) => node(third))), encapsulated).peers;
  const before = build(2, 3, 4, 5);
  const after = build(2, 4, 5, 6);
  assert.deepEqual(
    before.map(({ leaseKey }) => leaseKey),
    ["10.244.2.0-24", "10.244.3.0-24", "10.244.4.0-24", "10.244.5.0-24"],
  );
  assert.equal(after[0], before[0]);
  assert.equal(after[2], before[2]);
  assert.deepEqual(new Set(after.map(({ leaseKey }) => leaseKey)).size, 4);
  assert.equal(build(2, 4, 5, 6), after);
});
