// Whatever one node says of itself in its annotations, packets to all other nodes go where they went: through everything that
// reads them, from the Node object to the kernel's entries, for who starts with the lie and for who knew better, in every order.
// Each family's change is seen by itself.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseMac } from "../../../../src/addr/mac.js";
import { formatAddress, formatPrefix, parsePrefix } from "../../../../src/addr/prefix.js";
import { PeerBuilder } from "../../../../src/backend/peer-builder.js";
import { readVtepMac } from "../../../../src/backend/vxlan/backend-data.js";
import type { Peer } from "../../../../src/dataplane/peer-table.js";
import type { PeerEntry } from "../../../../src/host/host.js";
import { formatUnderlay, parseUnderlay } from "../../../../src/host/text.js";
import { wantedPeers } from "../../../../src/host/wanted-peers.js";
import { ClaimBook } from "../../../../src/lease/claims.js";
import type { Lease } from "../../../../src/lease/lease.js";
import { annotationNames, decodeNode } from "../../../../src/store/kube/annotations.js";
import { readNode } from "../../../../src/store/kube/node.js";
import { propertyRuns } from "../../../support/property-runs.js";

const names = annotationNames("flannel.alpha.coreos.com");
const [network, network6, mine] = ["10.244.0.0/16", "fd00:10:244::/48", "10.244.1.0/24"].map(parsePrefix);
const myAddress = parseUnderlay("192.0.2.1");
assert.ok(network && network6 && mine && myAddress);
const OWN = { leaseKey: "n1", prefixes: [mine], underlay: [myAddress], vtepMac: parseMac("02:00:00:00:00:01") };
const encapsulated = () => false;
const RULES = { leaseType: "vxlan", networks: [network, network6], readVtepMac };

function object(index: number, annotations: Record<string, string>, year = 2026): unknown {
  const podCIDRs = [`10.244.${index}.0/24`, `fd00:10:244:${index}::/64`];
  const creationTimestamp = `${year}-01-0${index}T00:00:00Z`;
  return { metadata: { name: `n${index}`, uid: `u${index}`, creationTimestamp, annotations }, spec: { podCIDRs } };
}

function good(index: number, more: Record<string, string> = {}): Record<string, string> {
  return {
    [names.subnetManager]: "true",
    [names.backendType]: "vxlan",
    [names.publicIp]: `192.0.2.${index}`,
    [names.publicIpv6]: `2001:db8::${index}`,
    [names.backendData]: `{"VNI":1,"VtepMAC":"02:00:00:00:00:0${index}"}`,
    [names.backendV6Data]: `{"VNI":1,"VtepMAC":"02:00:00:00:06:0${index}"}`,
    ...more,
  };
}

/** What an agent makes of the cluster as it finds it, state after state. */
function agent(): (objects: readonly unknown[]) => readonly Peer[] {
  const builder = new PeerBuilder(OWN, RULES);
  const book = new ClaimBook();
  return (objects) => builder.build(book.settle(leasesOf(objects)).leases, encapsulated).peers;
}

/** Where packets for each prefix go: through the data plane, and through the kernel's tables and what leaves them. */
function ways(peers: readonly Peer[]): string[] {
  return peers.flatMap(({ leaseKey, prefix, underlay, vtepMac, alias }) => {
    const entries = peers.filter((peer) => peer.prefix.family === prefix.family).map(entryOf);
    const { wanted, conflicts } = wantedPeers(entries, 7, new Map());
    assert.deepEqual(conflicts, []);
    const neighbor = wanted.neighbors.get(formatAddress(prefix));
    const onWire = neighbor === alias ? vtepMac : neighbor;
    const plane = `${formatPrefix(prefix)} to ${formatUnderlay(underlay)} ${vtepMac}`;
    const kernel = `${formatPrefix(prefix)} to ${wanted.fdb.get(neighbor ?? "")} ${onWire}`;
    return [`${leaseKey}: ${plane}`, `${leaseKey}: kernel, ${kernel}`];
  });
}

function entryOf({ prefix, vtepMac, alias, underlay: remote }: Peer): PeerEntry {
  assert.ok(vtepMac);
  return { kind: "vxlan", prefix, vtepMac: alias ?? vtepMac, remote };
}

function leasesOf(objects: readonly unknown[]): ReadonlyMap<string, Lease> {
  const leases = new Map<string, Lease>();
  for (const each of objects) {
    const node = readNode(each, names);
    const decoded = node === null ? null : decodeNode(node, names);
    if (node === null || decoded === null || typeof decoded === "string") continue;
    const createRevision = BigInt(node.createdMs);
    const { subnets, attrs } = decoded;
    leases.set(node.name, { key: node.name, ...subnets, attrs, expiresAt: null, createRevision, modRevision: 1n });
  }
  return leases;
}

const copied = fc.constantFrom(...Object.values(good(2)), ...Object.values(good(1)), "0.0.0.0", "::", "null", "[]");
const data = fc.jsonValue().map((value) => JSON.stringify({ VNI: value, VtepMAC: value }));
const text = fc.oneof(fc.string({ unit: "binary" }), fc.json(), data, fc.ipV4(), fc.ipV6(), copied);
const anything = fc.dictionary(fc.constantFrom(...(Object.values(names) as string[])), text);
/** What can be read, so that it is believed: each of its own, of a node older than it, or of a younger one. */
const believable = fc.record(
  Object.fromEntries(
    [names.publicIp, names.publicIpv6, names.backendData, names.backendV6Data].map((name) => [
      name,
      fc.constantFrom(...[2, 3, 4].map((index) => good(index)[name] ?? "")),
    ]),
  ),
);
const lie = fc.oneof(anything, believable).map((said) => ({ ...said, [names.subnetManager]: "true" }));
const typed = lie.map((said) => ({ [names.backendType]: "vxlan", ...said }));

describe("one node's annotations", () => {
  const others = [object(2, good(2)), object(3, good(3))];
  const ofOthers = <T extends { leaseKey: string }>(peers: readonly T[]) =>
    peers.filter(({ leaseKey }) => leaseKey !== "n4");
  const waysOfOthers = (peers: readonly Peer[]) => ways(peers).filter((way) => !way.startsWith("n4"));
  const alone = waysOfOthers(agent()(others));
  const age = fc.constantFrom(2025, 2026);

  it("may be anything and change nothing for the others, for who starts with them and for who knew the others before", () => {
    assert.equal(alone.length, 8);
    fc.assert(
      fc.property(typed, age, fc.nat(2), (said, year, place) => {
        const bad = object(4, said, year);
        assert.deepEqual(waysOfOthers(agent()(others.toSpliced(place, 0, bad))).sort(), alone.toSorted());
        const known = agent();
        const before = known(others);
        const after = ofOthers(known([...others, bad]));
        // Nothing is so much as touched.
        assert.ok(after.length === 4 && after.every((peer, i) => peer === before[i]));
      }),
      propertyRuns(500),
    );
  });

  it("may change again and again, and the others may come and go meanwhile", () => {
    const step = fc.record({ said: fc.option(typed), gone: fc.constantFrom(2, 3, 0, 0) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), age, (steps, year) => {
        const show = agent();
        for (const { said, gone } of steps) {
          const present = [2, 3].filter((index) => index !== gone);
          const bad = said === null ? [] : [object(4, said, year)];
          const now = waysOfOthers(show([...bad, ...present.map((index) => object(index, good(index)))]));
          assert.deepEqual(now.sort(), alone.filter((way) => !way.startsWith(`n${gone}:`)).sort());
        }
      }),
      propertyRuns(150),
    );
  });

  for (const [family, more] of [
    ["IPv4", { [names.backendData]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}' }],
    ["IPv4's address", { [names.publicIp]: "192.0.2.99" }],
    ["IPv6", { [names.backendV6Data]: '{"VNI":1,"VtepMAC":"02:00:00:00:06:99"}' }],
    ["IPv6's address", { [names.publicIpv6]: "2001:db8::99" }],
  ] as const) {
    it(`of two families are seen to change in ${family} alone`, () => {
      const before = agent()(others);
      const after = agent()([object(2, good(2, more)), object(3, good(3))]);
      const changed = after.filter((peer, i) => JSON.stringify(plain(peer)) !== JSON.stringify(plain(before[i])));
      assert.deepEqual(
        changed.map(({ leaseKey, prefix }) => [leaseKey, prefix.family]),
        [["n2", family.startsWith("IPv4") ? 4 : 6]],
      );
    });
  }
});

function plain(peer: Peer | undefined): unknown {
  return Object.entries(peer ?? {}).map(([name, value]) => [
    name,
    JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v)),
  ]);
}
