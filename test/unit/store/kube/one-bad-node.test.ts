// Whatever one node says of itself in its annotations, the peers made of all other nodes are the same: through everything that
// reads them, from the Node object to the peer table. Each family's change is seen by itself.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseMac } from "../../../../src/addr/mac.js";
import { parsePrefix } from "../../../../src/addr/prefix.js";
import { PeerBuilder } from "../../../../src/backend/peer-builder.js";
import { readVtepMac } from "../../../../src/backend/vxlan/backend-data.js";
import type { Peer } from "../../../../src/dataplane/peer-table.js";
import { parseUnderlay } from "../../../../src/host/text.js";
import { settleClaims } from "../../../../src/lease/claims.js";
import type { Lease } from "../../../../src/lease/lease.js";
import { annotationNames, decodeNode } from "../../../../src/store/kube/annotations.js";
import { readNode } from "../../../../src/store/kube/node.js";

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

/** After the nodes of `before` were known. */
function peersOf(objects: readonly unknown[], before: readonly unknown[] = []): readonly Peer[] {
  const builder = new PeerBuilder(OWN, RULES);
  builder.build(settleClaims(leasesOf(before)).leases, encapsulated);
  return builder.build(settleClaims(leasesOf(objects)).leases, encapsulated).peers;
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

describe("one node's annotations", () => {
  const others = [object(2, good(2)), object(3, good(3))];
  const ofOthers = (peers: readonly Peer[]) => peers.filter(({ leaseKey }) => leaseKey !== "n4");

  it("may be anything and change nothing for the others", () => {
    const copied = fc.constantFrom(...Object.values(good(2)), ...Object.values(good(1)), "0.0.0.0", "::", "null", "[]");
    const data = fc.jsonValue().map((value) => JSON.stringify({ VNI: value, VtepMAC: value }));
    const text = fc.oneof(fc.string({ unit: "binary" }), fc.json(), data, fc.ipV4(), fc.ipV6(), copied);
    const annotations = fc.dictionary(fc.constantFrom(...(Object.values(names) as string[])), text);
    const alone = ofOthers(peersOf(others));
    assert.equal(alone.length, 4);
    fc.assert(
      fc.property(annotations, (said) => {
        const marked = { [names.backendType]: "vxlan", ...said, [names.subnetManager]: "true" };
        assert.deepEqual(ofOthers(peersOf([...others, object(4, marked)])), alone);
        // A node that is older than its victims takes nothing from those that are known.
        const older = peersOf([...others, object(4, marked, 2025)], others).map(unnumbered);
        assert.deepEqual(ofOthers(older), alone.map(unnumbered));
      }),
      { numRuns: 3_000 },
    );
  });

  for (const [family, more] of [
    ["IPv4", { [names.backendData]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}' }],
    ["IPv4's address", { [names.publicIp]: "192.0.2.99" }],
    ["IPv6", { [names.backendV6Data]: '{"VNI":1,"VtepMAC":"02:00:00:00:06:99"}' }],
    ["IPv6's address", { [names.publicIpv6]: "2001:db8::99" }],
  ] as const) {
    it(`of two families are seen to change in ${family} alone`, () => {
      const before = peersOf(others);
      const after = peersOf([object(2, good(2, more)), object(3, good(3))]);
      const changed = after.filter((peer, i) => JSON.stringify(plain(peer)) !== JSON.stringify(plain(before[i])));
      assert.deepEqual(
        changed.map(({ leaseKey, prefix }) => [leaseKey, prefix.family]),
        [["n2", family.startsWith("IPv4") ? 4 : 6]],
      );
    });
  }
});

function unnumbered(peer: Peer): Peer {
  return { ...peer, id: 0 };
}

function plain(peer: Peer | undefined): unknown {
  return Object.entries(peer ?? {}).map(([name, value]) => [
    name,
    JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v)),
  ]);
}
