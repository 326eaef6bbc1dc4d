// Prefixes of both families: text, containment, overlap and the order allocation walks in. Pure. The arithmetic is written
// once on bigint for the rare operations and once per family only where a number saves a conversion on a hot list.
import type { Ipv4, Ipv6, Prefix, Prefix4, Prefix6 } from "./address.js";
import { formatIpv4, IPV4_BITS, ipv4, ipv4Mask, ipv4ToBytes, parseIpv4 } from "./ipv4.js";
import { formatIpv6, IPV6_BITS, ipv6, ipv6Mask, ipv6ToBytes, parseIpv6 } from "./ipv6.js";

const LENGTH = /^(0|[1-9]\d{0,2})$/;

/** Host bits are cleared. */
export function prefix4(address: Ipv4, length: number): Prefix4 {
  checkLength(length, IPV4_BITS);
  return { family: 4, address: ((address & ipv4Mask(length)) >>> 0) as Ipv4, length };
}

/** Host bits are cleared. */
export function prefix6(address: Ipv6, length: number): Prefix6 {
  checkLength(length, IPV6_BITS);
  return { family: 6, address: (address & ipv6Mask(length)) as Ipv6, length };
}

/** "10.1.2.3/24" with its host bits kept, as on an interface; null when malformed. */
export function parsePrefixWithHost(text: string): Prefix | null {
  const slash = text.indexOf("/");
  if (slash < 0) return null;
  const lengthText = text.slice(slash + 1);
  if (!LENGTH.test(lengthText)) return null;
  const length = Number(lengthText);
  const v4 = parseIpv4(text.slice(0, slash));
  if (v4 !== null) return length <= IPV4_BITS ? { family: 4, address: v4, length } : null;
  const v6 = parseIpv6(text.slice(0, slash));
  return v6 !== null && length <= IPV6_BITS ? { family: 6, address: v6, length } : null;
}

/** "10.1.2.0/24" or "fd00::/64", host bits cleared; null when malformed. */
export function parsePrefix(text: string): Prefix | null {
  const parsed = parsePrefixWithHost(text);
  return parsed === null ? null : maskPrefix(parsed);
}

export function parsePrefix4(text: string): Prefix4 | null {
  const parsed = parsePrefix(text);
  return parsed?.family === 4 ? parsed : null;
}

export function parsePrefix6(text: string): Prefix6 | null {
  const parsed = parsePrefix(text);
  return parsed?.family === 6 ? parsed : null;
}

export function formatAddress(prefix: Prefix): string {
  return prefix.family === 4 ? formatIpv4(prefix.address) : formatIpv6(prefix.address);
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

export function maskPrefix<P extends Prefix>(prefix: P): P;
export function maskPrefix(prefix: Prefix): Prefix {
  return prefix.family === 4 ? prefix4(prefix.address, prefix.length) : prefix6(prefix.address, prefix.length);
}

export function prefixEquals(a: Prefix | null, b: Prefix | null): boolean {
  if (a === null || b === null) return a === b;
  return a.family === b.family && a.length === b.length && a.address === b.address;
}

/** True when every address of `inner` lies in `outer`. */
export function prefixCovers(outer: Prefix, inner: Prefix): boolean {
  if (outer.family === 4) {
    return (
      inner.family === 4 &&
      inner.length >= outer.length &&
      ((inner.address ^ outer.address) & ipv4Mask(outer.length)) === 0
    );
  }
  return (
    inner.family === 6 &&
    inner.length >= outer.length &&
    ((inner.address ^ outer.address) & ipv6Mask(outer.length)) === 0n
  );
}

export function prefixContains(prefix: Prefix, address: Ipv4 | Ipv6): boolean {
  return typeof address === "number"
    ? prefixCovers(prefix, { family: 4, address, length: IPV4_BITS })
    : prefixCovers(prefix, { family: 6, address, length: IPV6_BITS });
}

/** True when the two share an address. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixCovers(a, b) || prefixCovers(b, a);
}

/** The address `offset` places after the base; throws past the end of the address space. */
export function addressAt<P extends Prefix>(prefix: P, offset: bigint | number): P["address"];
export function addressAt(prefix: Prefix, offset: bigint | number): Ipv4 | Ipv6 {
  const value = BigInt(prefix.address) + BigInt(offset);
  return prefix.family === 4 ? ipv4(Number(value)) : ipv6(value);
}

/** Number of addresses the prefix holds. */
export function prefixSize(prefix: Prefix): bigint {
  return 1n << BigInt((prefix.family === 4 ? IPV4_BITS : IPV6_BITS) - prefix.length);
}

export function lastAddress<P extends Prefix>(prefix: P): P["address"] {
  return addressAt(maskPrefix<Prefix>(prefix) as P, prefixSize(prefix) - 1n);
}

/** The adjacent prefix of the same length; null at the end of the address space. */
export function nextPrefix<P extends Prefix>(prefix: P): P | null;
export function nextPrefix(prefix: Prefix): Prefix | null {
  const next = BigInt(prefix.address) + prefixSize(prefix);
  if (prefix.family === 4) return next >> 32n === 0n ? prefix4(ipv4(Number(next)), prefix.length) : null;
  return next >> 128n === 0n ? prefix6(ipv6(next), prefix.length) : null;
}

/** IPv4 before IPv6, then by address, then shorter prefixes first. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return a.length - b.length;
}

/** The address in network order: 4 or 16 bytes. */
export function addressToBytes(prefix: Prefix): Uint8Array {
  return prefix.family === 4 ? ipv4ToBytes(prefix.address) : ipv6ToBytes(prefix.address);
}

function checkLength(length: number, bits: number): void {
  if (!Number.isInteger(length) || length < 0 || length > bits) throw new RangeError(`not a prefix length: ${length}`);
}
