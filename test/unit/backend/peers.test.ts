// Leases in, peers and refusals out.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import { parseMac } from "../../../src/addr/mac.js";
import { formatPrefix, parsePrefix } from "../../../src/addr/prefix.js";
import { directTest, underlayRoutes } from "../../../src/backend/direct-routes.js";
import { PeerBuilder } from "../../../src/backend/peer-builder.js";
import type { OwnIdentity, PeerRules } from "../../../src/backend/peers.js";
import { readVtepMac } from "../../../src/backend/vxlan/backend-data.js";
import type { HostRoute } from "../../../src/host/host.js";
import { formatUnderlay, parseUnderlay } from "../../../src/host/text.js";
import type { Lease } from "../../../src/lease/lease.js";
import { lease, leaseMap, vxlanAttrs } from "../../support/lease-builder.js";

const network = parsePrefix("10.244.0.0/16");
const mine = parsePrefix("10.244.1.0/24");
const myAddress = parseUnderlay("192.0.2.1");
assert.ok(network && mine && myAddress);
const OWN: OwnIdentity = {
  leaseKey: "10.244.1.0-24",
  prefixes: [mine],
  underlay: [myAddress],
  vtepMac: parseMac("02:00:00:00:00:ff"),
};
const RULES: PeerRules = { leaseType: "vxlan", networks: [network], readVtepMac };
const encapsulated = () => false;

function build(leases: readonly Lease[], rules = RULES) {
  const built = new PeerBuilder(OWN, rules).build(leaseMap(...leases), encapsulated);
  return {
    peers: built.peers.map((peer) => `${formatPrefix(peer.prefix)} ${formatUnderlay(peer.underlay)} ${peer.vtepMac}`),
    refused: built.refused.map(({ key, reason }) => `${key}: ${reason}`),
  };
}
const peer = (third: number, changes: Partial<Lease> = {}): Lease =>
  lease(`10.244.${third}.0-24`, `192.0.2.${third}`, BigInt(third), {
    attrs: vxlanAttrs(`192.0.2.${third}`, `02:00:00:00:00:0${third}`),
    ...changes,
  });

describe("peers from leases", () => {
  test("every lease but our own becomes a peer", () => {
    assert.deepEqual(build([peer(1), peer(2), peer(3)]), {
      peers: ["10.244.2.0/24 192.0.2.2 02:00:00:00:00:02", "10.244.3.0/24 192.0.2.3 02:00:00:00:00:03"],
      refused: [],
    });
  });

  test("a lease of another backend is passed over, and all count where the type is not looked at", () => {
    const other = peer(3, { attrs: { ...vxlanAttrs("192.0.2.3"), backendType: "host-gw" } });
    assert.deepEqual(build([peer(2), other]).peers.length, 1);
    assert.deepEqual(build([peer(2), other], { ...RULES, leaseType: null, readVtepMac: null }).peers.length, 2);
  });

  const bad: ReadonlyArray<readonly [string, Lease, RegExp]> = [
    [
      "a missing BackendData",
      peer(3, { attrs: { ...vxlanAttrs("192.0.2.3"), backendData: null } }),
      /BackendData is missing/,
    ],
    ["a MAC that is none", peer(3, { attrs: vxlanAttrs("192.0.2.3", "zz:00") }), /"zz:00" is no unicast MAC/],
    ["our own MAC", peer(3, { attrs: vxlanAttrs("192.0.2.3", "02:00:00:00:00:ff") }), /02:00:00:00:00:ff is ours/],
    ["a loopback address", peer(3, { attrs: vxlanAttrs("127.0.0.3", "02:00:00:00:00:03") }), /127\.0\.0\.3 is none/],
    [
      "a link-local address",
      peer(3, { attrs: vxlanAttrs("169.254.1.1", "02:00:00:00:00:03") }),
      /169\.254\.1\.1 is none/,
    ],
    ["a multicast MAC", peer(3, { attrs: vxlanAttrs("192.0.2.3", "01:00:5e:00:00:01") }), /is no unicast MAC/],
    [
      "a MAC that is a number",
      peer(3, { attrs: { ...vxlanAttrs("192.0.2.3"), backendData: { VtepMAC: 7 } } }),
      /no text/,
    ],
    ["no public address", peer(3, { attrs: { ...vxlanAttrs("192.0.2.3"), publicIp: null } }), /no public IPv4 address/],
    ["our public address", peer(3, { attrs: vxlanAttrs("192.0.2.1", "02:00:00:00:00:03") }), /our own public address/],
    ["a subnet outside the network", lease("10.99.3.0-24", "192.0.2.3", 9n), /outside 10\.244\.0\.0\/16/],
    ["our subnet", lease("10.244.1.128-25", "192.0.2.3", 9n), /overlaps ours/],
  ];
  for (const [name, wrong, reason] of bad) {
    test(`a lease with ${name} is refused and the others stay`, () => {
      const { peers, refused } = build([peer(2), wrong, peer(4)]);
      assert.deepEqual(
        peers.map((text) => text.split(" ")[0]),
        ["10.244.2.0/24", "10.244.4.0/24"],
      );
      assert.equal(refused.length, 1);
      assert.match(refused[0] ?? "", reason);
    });
  }

  test("unknown fields and other key case are accepted, as Go accepts them", () => {
    const lenient = peer(2, {
      attrs: { ...vxlanAttrs("192.0.2.2"), backendData: { vtepmac: "02:AA:00:00:00:02", New: 1 } },
    });
    assert.deepEqual(build([lenient]).peers, ["10.244.2.0/24 192.0.2.2 02:aa:00:00:00:02"]);
  });

  test("a dual-stack lease gives two peers with their own numbers", () => {
    const v6 = parsePrefix("fd00::/48");
    assert.ok(v6);
    const attrs = {
      ...vxlanAttrs("192.0.2.2"),
      publicIpv6: 0x20010db8000000000000000000000002n as never,
      backendV6Data: { VtepMAC: "02:00:00:00:06:02" },
    };
    const both = lease("10.244.2.0-24&fd00:0:0:2::-64", "192.0.2.2", 2n, { attrs });
    const built = new PeerBuilder(OWN, { ...RULES, networks: [network, v6] }).build(leaseMap(both), encapsulated);
    assert.deepEqual(
      built.peers.map(({ id, prefix }) => [id, prefix.family]),
      [
        [1, 4],
        [2, 6],
      ],
    );
  });

  test("a number stays with its lease and is not given again", () => {
    const builder = new PeerBuilder(OWN, RULES);
    const idsOf = (...leases: Lease[]) => {
      const { peers } = builder.build(leaseMap(...leases), encapsulated);
      return Object.fromEntries(peers.map(({ id, leaseKey }) => [leaseKey, id]));
    };
    assert.deepEqual(idsOf(peer(2), peer(3)), { [peer(2).key]: 1, [peer(3).key]: 2 });
    assert.deepEqual(idsOf(peer(3), peer(4)), { [peer(3).key]: 2, [peer(4).key]: 3 });
    assert.deepEqual(idsOf(peer(2), peer(3)), { [peer(2).key]: 4, [peer(3).key]: 2 });
  });
});

describe("direct routing", () => {
  const route = (destination: string, gateway: string | null, linkIndex = 2, protocol = 2): HostRoute => {
    const prefix = parsePrefix(destination);
    assert.ok(prefix);
    return { destination: prefix, gateway: parseUnderlay(gateway), linkIndex, protocol };
  };
  const isDirect = (address: string, ...routes: HostRoute[]): boolean => {
    const ipv4 = parseIpv4(address);
    assert.ok(ipv4 !== null);
    return directTest(underlayRoutes(routes, [network]))({ family: 4, address: ipv4 });
  };
  const lan = route("192.0.2.0/24", null);
  const out = route("0.0.0.0/0", "192.0.2.254");

  test("a peer on our segment is direct, one behind a gateway is not", () => {
    assert.equal(isDirect("192.0.2.7", out, lan), true);
    assert.equal(isDirect("198.51.100.7", out, lan), false);
    assert.equal(isDirect("198.51.100.7"), false);
  });

  test("the longest prefix decides, two next hops are not direct, overlay routes do not count", () => {
    assert.equal(isDirect("192.0.2.7", lan, route("192.0.2.7/32", "192.0.2.254")), false);
    assert.equal(isDirect("192.0.2.7", lan, route("192.0.2.0/24", null, 3)), false);
    assert.equal(isDirect("192.0.2.7", lan, route("192.0.2.7/32", "192.0.2.254", 2, 158)), true);
  });

  test("the links of pods, which have link-local routes and those of the network, decide nothing", () => {
    const pods = [route("fe80::/64", null, 7), route("10.244.1.0/24", null, 8)];
    const deciding = underlayRoutes([...pods, lan, out, route("::/0", "2001:db8::1", 3)], [network]);
    assert.deepEqual(
      deciding.map(({ linkIndex }) => linkIndex),
      [2, 2, 3],
    );
  });
});
