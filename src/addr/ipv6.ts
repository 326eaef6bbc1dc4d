// IPv6 addresses: strict text in, RFC 5952 text out, bytes. Pure. Zones are refused: they mean nothing in a cluster.
import type { Ipv6 } from "./address.js";
import { formatIpv4, ipv4, parseIpv4 } from "./ipv4.js";

export const IPV6_BITS = 128;
export const IPV6_MAX = (1n << 128n) - 1n;

const GROUP = /^[0-9a-fA-F]{1,4}$/;
const GROUPS = 8;
const MAPPED_V4_HIGH = 0xffffn;

/** The groups of one side of "::" as numbers; null when one of them is malformed. */
function parseGroups(text: string, embeddedV4Allowed: boolean): number[] | null {
  if (text === "") return [];
  const words = text.split(":");
  const groups: number[] = [];
  for (const [index, word] of words.entries()) {
    if (GROUP.test(word)) {
      groups.push(Number.parseInt(word, 16));
      continue;
    }
    const embedded = embeddedV4Allowed && index === words.length - 1 ? parseIpv4(word) : null;
    if (embedded === null) return null;
    groups.push(embedded >>> 16, embedded & 0xffff);
  }
  return groups;
}

/** The address as a value; null when the text is not one. A dotted quad is accepted as the last 32 bits, as in Go. */
export function parseIpv6(text: string): Ipv6 | null {
  if (text.length > 45) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const compressed = halves.length === 2;
  const head = parseGroups(halves[0] ?? "", !compressed);
  const tail = compressed ? parseGroups(halves[1] ?? "", true) : [];
  if (head === null || tail === null) return null;
  const missing = GROUPS - head.length - tail.length;
  if (compressed ? missing < 1 : missing !== 0) return null;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value as Ipv6;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups compressed. */
export function formatIpv6(address: Ipv6): string {
  if (address >> 32n === MAPPED_V4_HIGH) return `::ffff:${formatIpv4(ipv4(Number(address & 0xffffffffn)))}`;
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((address >> shift) & 0xffffn));
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < GROUPS; start++) {
    let end = start;
    while (end < GROUPS && groups[end] === 0) end++;
    if (end - start > runLength) {
      runStart = start;
      runLength = end - start;
    }
    if (end > start) start = end;
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (runStart < 0) return text(groups);
  return `${text(groups.slice(0, runStart))}::${text(groups.slice(runStart + runLength))}`;
}

/** The number as an address; throws on a value outside 128 bits, which is a bug in the caller. */
export function ipv6(value: bigint): Ipv6 {
  if (value < 0n || value > IPV6_MAX) throw new RangeError(`not an IPv6 address: ${value}`);
  return value as Ipv6;
}

/** Sixteen bytes in network order. */
export function ipv6ToBytes(address: Ipv6): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, address >> 64n);
  view.setBigUint64(8, address & 0xffffffffffffffffn);
  return bytes;
}

export function ipv6FromBytes(bytes: Uint8Array): Ipv6 {
  if (bytes.length !== 16) throw new RangeError(`an IPv6 address has 16 bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return ((view.getBigUint64(0) << 64n) | view.getBigUint64(8)) as Ipv6;
}

/** The network mask of a prefix length. */
export function ipv6Mask(length: number): Ipv6 {
  return (IPV6_MAX ^ (IPV6_MAX >> BigInt(length))) as Ipv6;
}
