// Peer table -> the flat bytes of native/fwd/table_format.h, which apply() hands to C++. Pure. The layout constants below
// repeat that header; test/unit/dataplane/codec.test.ts reads the header and compares, so that neither can drift alone.
import type { Mac, Prefix } from "../addr/address.js";
import { ipv4ToBytes } from "../addr/ipv4.js";
import { ipv6ToBytes } from "../addr/ipv6.js";
import { macToBytes } from "../addr/mac.js";
import { RipstopError } from "../lib/errors.js";
import type { LocalEndpoint, NextHop, Peer } from "./peer-table.js";

export const TABLE_MAGIC = 0x42545352;
export const TABLE_LAYOUT = 1;
export const PEERS_MAX = 16384;
export const LOCAL_PREFIXES_MAX = 64;
export const PEER_RESOLVED = 1;

export const HEADER_BYTES = 72;
export const PREFIX_BYTES = 24;
export const PEER_BYTES = 64;

/** Byte offsets of the fields, as offsetof() gives them in C++. */
export const HEADER = {
  magic: 0,
  layout: 4,
  local_prefix_count: 6,
  version: 8,
  peer_count: 16,
  overlay_mtu: 20,
  reserved0: 22,
  underlay_v4: 24,
  underlay_v6: 40,
  underlay_mac: 56,
  vtep_mac: 62,
  reserved1: 68,
} as const;
export const PREFIX = { family: 0, length: 1, reserved: 2, address: 8 } as const;
export const PEER = {
  id: 0,
  flags: 4,
  prefix_family: 5,
  prefix_length: 6,
  underlay_family: 7,
  underlay_port: 8,
  path_mtu: 10,
  prefix: 12,
  underlay: 28,
  vtep_mac: 44,
  next_hop_mac: 50,
  reserved: 56,
} as const;

/** A peer as the table knows it; `prefix` null: it is reached by MAC address (a bridged overlay of the library). */
export interface EncodablePeer extends Pick<Peer, "id" | "underlay" | "vtepMac"> {
  readonly prefix: Prefix | null;
}

export interface EncodableTable {
  readonly version: bigint;
  readonly local: LocalEndpoint;
  readonly peers: readonly EncodablePeer[];
}

/** `nextHops` by peer id; a peer without one is left to ports that let the kernel resolve. Throws TABLE_TOO_BIG. */
export function encodePeerTable(table: EncodableTable, nextHops: ReadonlyMap<number, NextHop> = new Map()): Uint8Array {
  const { peers } = table;
  const bytes = new Uint8Array(peersOffset(table) + peers.length * PEER_BYTES);
  const view = new DataView(bytes.buffer);
  putHeader(bytes, view, table);
  let at = peersOffset(table);
  for (const peer of peers) {
    putPeer(bytes, view, at, peer, nextHops.get(peer.id));
    at += PEER_BYTES;
  }
  return bytes;
}

/** Where the records of the peers begin. */
export function peersOffset({ local }: Pick<EncodableTable, "local">): number {
  return HEADER_BYTES + local.prefixes.length * PREFIX_BYTES;
}

/** Everything before the peers. Throws TABLE_TOO_BIG. */
export function putHeader(bytes: Uint8Array, view: DataView, { version, local, peers }: EncodableTable): void {
  requireAtMost("peers", peers.length, PEERS_MAX);
  requireAtMost("local prefixes", local.prefixes.length, LOCAL_PREFIXES_MAX);
  view.setUint32(HEADER.magic, TABLE_MAGIC, true);
  view.setUint16(HEADER.layout, TABLE_LAYOUT, true);
  view.setUint16(HEADER.local_prefix_count, local.prefixes.length, true);
  view.setBigUint64(HEADER.version, version, true);
  view.setUint32(HEADER.peer_count, peers.length, true);
  view.setUint16(HEADER.overlay_mtu, local.overlayMtu, true);
  if (local.underlayV4 !== null) bytes.set(ipv4ToBytes(local.underlayV4), HEADER.underlay_v4);
  if (local.underlayV6 !== null) bytes.set(ipv6ToBytes(local.underlayV6), HEADER.underlay_v6);
  putMac(bytes, HEADER.underlay_mac, local.underlayMac);
  putMac(bytes, HEADER.vtep_mac, local.vtepMac);
  let at = HEADER_BYTES;
  for (const prefix of local.prefixes) {
    view.setUint8(at + PREFIX.family, prefix.family);
    view.setUint8(at + PREFIX.length, prefix.length);
    putAddress(bytes, at + PREFIX.address, prefix);
    at += PREFIX_BYTES;
  }
}

/** The same table under another version number. */
export function withVersion(table: Uint8Array, version: bigint): Uint8Array {
  // Not slice(): a Buffer's slice shares its memory.
  const copy = new Uint8Array(table);
  new DataView(copy.buffer).setBigUint64(HEADER.version, version, true);
  return copy;
}

/** True when two encoded tables say the same, whatever their numbers. */
export function sameButVersion(a: Uint8Array, b: Uint8Array): boolean {
  const without = (table: Uint8Array): [Uint8Array, Uint8Array] => [
    table.subarray(0, HEADER.version),
    table.subarray(HEADER.version + 8),
  ];
  const [aHead, aRest] = without(a);
  const [bHead, bRest] = without(b);
  return Buffer.compare(aHead, bHead) === 0 && Buffer.compare(aRest, bRest) === 0;
}

export function putPeer(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  peer: EncodablePeer,
  nextHop: NextHop | undefined,
): void {
  view.setUint32(at + PEER.id, peer.id, true);
  view.setUint8(at + PEER.flags, nextHop === undefined ? 0 : PEER_RESOLVED);
  if (peer.prefix !== null) {
    view.setUint8(at + PEER.prefix_family, peer.prefix.family);
    view.setUint8(at + PEER.prefix_length, peer.prefix.length);
    putAddress(bytes, at + PEER.prefix, peer.prefix);
  }
  view.setUint8(at + PEER.underlay_family, peer.underlay.family);
  view.setUint16(at + PEER.path_mtu, nextHop?.pathMtu ?? 0, true);
  putAddress(bytes, at + PEER.underlay, peer.underlay);
  putMac(bytes, at + PEER.vtep_mac, peer.vtepMac);
  putMac(bytes, at + PEER.next_hop_mac, nextHop?.mac ?? null);
}

/** Network byte order; an IPv4 address takes the first 4 of 16 bytes. */
function putAddress(bytes: Uint8Array, at: number, from: Prefix | Peer["underlay"]): void {
  bytes.set(from.family === 4 ? ipv4ToBytes(from.address) : ipv6ToBytes(from.address), at);
}

function putMac(bytes: Uint8Array, at: number, mac: Mac | null): void {
  if (mac !== null) bytes.set(macToBytes(mac), at);
}

function requireAtMost(what: string, count: number, max: number): void {
  if (count <= max) return;
  throw new RipstopError(
    "TABLE_TOO_BIG",
    `${count} ${what} do not fit one peer table (at most ${max}); split the network into larger subnets`,
  );
}
