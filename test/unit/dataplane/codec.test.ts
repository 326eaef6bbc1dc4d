// The flat table as TypeScript writes it, held against the C++ header that reads it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Ipv4, Ipv6, Mac } from "../../../src/addr/address.js";
import * as codec from "../../../src/dataplane/codec.js";
import type { Peer, PeerTable } from "../../../src/dataplane/peer-table.js";

const ip4 = (a: number, b: number, c: number, d: number): Ipv4 =>
  (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) as Ipv4;
const mac = (text: string): Mac => text as Mac;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const header = readFileSync(new URL("../../../../native/fwd/table_format.h", import.meta.url), "utf8");

/** Field offsets and size of a C++ struct of fixed-width integers, by the natural alignment rules. */
function layoutOf(name: string): { offsets: Record<string, number>; size: number } {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
  assert.ok(body, `${name} is in table_format.h`);
  const offsets: Record<string, number> = {};
  let at = 0;
  let widest = 1;
  for (const [, bits, field, count] of body.matchAll(/uint(\d+)_t\s+(\w+)(?:\[(\d+)\])?;/g)) {
    const width = Number(bits) / 8;
    at = Math.ceil(at / width) * width;
    offsets[field as string] = at;
    at += width * Number(count ?? 1);
    widest = Math.max(widest, width);
  }
  return { offsets, size: Math.ceil(at / widest) * widest };
}

function constant(name: string): number {
  const value = new RegExp(`${name} =\\s+(0x[0-9a-f]+|\\d+);`).exec(header)?.[1];
  assert.ok(value, `${name} is in table_format.h`);
  return Number(value);
}

test("the layout constants are those of the C++ header", () => {
  assert.deepEqual(layoutOf("TableHeader"), { offsets: codec.HEADER, size: codec.HEADER_BYTES });
  assert.deepEqual(layoutOf("PrefixRecord"), { offsets: codec.PREFIX, size: codec.PREFIX_BYTES });
  assert.deepEqual(layoutOf("PeerRecord"), { offsets: codec.PEER, size: codec.PEER_BYTES });
  assert.equal(constant("kTableMagic"), codec.TABLE_MAGIC);
  assert.equal(constant("kTableLayout"), codec.TABLE_LAYOUT);
  assert.equal(constant("kPeersMax"), codec.PEERS_MAX);
  assert.equal(constant("kLocalPrefixesMax"), codec.LOCAL_PREFIXES_MAX);
  assert.equal(constant("kPeerResolved"), codec.PEER_RESOLVED);
});

const peer4: Peer = {
  id: 7,
  leaseKey: "10.244.2.0-24",
  prefix: { family: 4, address: ip4(10, 244, 2, 0), length: 24 },
  underlay: { family: 4, address: ip4(192, 168, 0, 2) },
  vtepMac: mac("0e:2a:00:00:00:02"),
  direct: false,
};
const peer6: Peer = {
  id: 0x01020304,
  leaseKey: "10.244.2.0-24",
  prefix: { family: 6, address: 0xfc00_0000_0000_0002_0000_0000_0000_0000n as Ipv6, length: 64 },
  underlay: { family: 6, address: 0xfd00_0000_0000_0000_0000_0000_0000_0002n as Ipv6 },
  vtepMac: null,
  direct: false,
};
const table: PeerTable = {
  version: 0x0102_0304_0506_0708n,
  local: {
    prefixes: [{ family: 4, address: ip4(10, 244, 1, 0), length: 24 }],
    underlayV4: ip4(192, 168, 0, 1),
    underlayV6: null,
    underlayMac: mac("02:00:00:00:00:01"),
    vtepMac: mac("0e:2a:00:00:00:01"),
    overlayMtu: 1450,
  },
  peers: [peer4, peer6],
};

test("a dual-stack table has exactly these bytes", () => {
  const bytes = codec.encodePeerTable(table, new Map([[7, { mac: mac("02:00:00:00:00:99"), pathMtu: 1400 }]]));
  assert.equal(
    hex(bytes),
    [
      "525354420100010008070605040302010200000" + "0aa050000", // magic, layout, 1 prefix, version, 2 peers, MTU 1450
      "c0a80001000000000000000000000000", // underlay_v4
      "00000000000000000000000000000000", // underlay_v6
      "020000000001" + "0e2a00000001" + "00000000",
      "0418000000000000" + "0af40100000000000000000000000000", // 10.244.1.0/24
      "07000000" + "01" + "04" + "18" + "04" + "0000" + "7805", // peer 7: resolved, path MTU 1400
      "0af40200000000000000000000000000" + "c0a80002000000000000000000000000",
      "0e2a00000002" + "020000000099" + "0000000000000000",
      "04030201" + "00" + "06" + "40" + "06" + "0000" + "0000", // IPv6 peer, next hop unknown
      "fc000000000000020000000000000000" + "fd000000000000000000000000000002",
      "000000000000" + "000000000000" + "0000000000000000",
    ].join(""),
  );
});

test("an empty table is a bare header", () => {
  const bytes = codec.encodePeerTable({ ...table, local: { ...table.local, prefixes: [] }, peers: [] });
  assert.equal(bytes.length, codec.HEADER_BYTES);
});

test("another version number changes that field of a copy alone, also when the table is a slice of something", () => {
  const bytes = codec.encodePeerTable(table);
  const around = Buffer.concat([Buffer.alloc(16, 0xee), bytes]);
  const given = around.subarray(16);
  const changed = codec.withVersion(given, 9n);
  assert.deepEqual(Buffer.from(changed), Buffer.from(codec.encodePeerTable({ ...table, version: 9n })));
  assert.deepEqual(around, Buffer.concat([Buffer.alloc(16, 0xee), bytes]));
});

test("tables that differ in their number alone say the same, and in anything else do not", () => {
  const bytes = codec.encodePeerTable(table);
  assert.ok(codec.sameButVersion(bytes, codec.encodePeerTable({ ...table, version: 9n })));
  for (const at of [0, codec.HEADER.version - 1, codec.HEADER.version + 8, bytes.length - 1]) {
    const changed = bytes.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.ok(!codec.sameButVersion(bytes, changed), `byte ${at}`);
  }
});

test("more peers than a table holds are refused before any byte is written", () => {
  const peers = Array.from({ length: codec.PEERS_MAX + 1 }, () => peer4);
  assert.throws(() => codec.encodePeerTable({ ...table, peers }), { code: "TABLE_TOO_BIG", message: /16385 peers/ });
});
