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

const macsOf = (peers: readonly Peer[]) => peers.map(({ vtepMac }) => vtepMac);
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

test("a copied MAC is refused for as long as its older owner has it", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const copy = node(3, 2);
  assert.deepEqual(
    builder.build(leaseMap(node(2), copy), encapsulated).peers.map(({ leaseKey }) => leaseKey),
    ["10.244.2.0-24"],
  );
  assert.deepEqual(
    builder.build(leaseMap(node(2, 9), copy), encapsulated).peers.map(({ leaseKey }) => leaseKey),
    ["10.244.2.0-24", "10.244.3.0-24"],
  );
});

test("an older node that copies the MAC of a known one is refused, and stays so", () => {
  const builder = new PeerBuilder(OWN, RULES);
  const victim = node(9);
  const shown = (...leases: Lease[]) => builder.build(leaseMap(...leases), encapsulated).peers.map((p) => p.leaseKey);
  assert.deepEqual(shown(node(2), victim), ["10.244.2.0-24", victim.key]);
  assert.deepEqual(shown(node(2, 9), victim), [victim.key]);
  assert.deepEqual(shown(node(2, 9), { ...victim, modRevision: 99n }, node(4)), [victim.key, "10.244.4.0-24"]);
  assert.deepEqual(shown(node(2, 9), node(9, 10), node(4)), ["10.244.2.0-24", victim.key, "10.244.4.0-24"]);
});

test("whatever came before, the peers are those that a new builder makes, but for who keeps a MAC that several claim", () => {
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
    const all = ({ peers, refused }: typeof built) =>
      [...peers.map(({ leaseKey }) => leaseKey), ...refused.map(({ key }) => key)].sort();
    assert.deepEqual(all(built), all(fresh), `step ${step}`);
    assert.deepEqual(new Set(macsOf(built.peers)), new Set(macsOf(fresh.peers)), `step ${step}`);
    assert.equal(new Set(macsOf(built.peers)).size, built.peers.length, `step ${step}: a MAC is one peer's`);
    for (const { leaseKey, vtepMac, ...peer } of fresh.peers) {
      const same = built.peers.find((one) => one.leaseKey === leaseKey);
      if (same !== undefined) assert.deepEqual({ ...same, id: 0 }, { ...peer, leaseKey, vtepMac, id: 0 });
    }
    const now = builder.build(snapshot, encapsulated).peers;
    for (const { leaseKey, vtepMac } of before) {
      const lease = snapshot.get(leaseKey);
      if (lease === undefined || readMac(lease) !== vtepMac) continue;
      assert.ok(
        now.some((peer) => peer.leaseKey === leaseKey),
        `step ${step}: ${leaseKey} lost its MAC`,
      );
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
