// IPv4 addresses: strict text, bytes and arithmetic. Pure. Never accepts what Go's netip refuses (leading zeros, short
// forms, signs): a lenient reader would give one lease key two meanings.
import type { Ipv4 } from "./address.js";

const DOTTED_QUAD = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

export const IPV4_BITS = 32;
export const IPV4_MAX = 0xffffffff;

/** The address as a value; null when the text is not exactly a dotted quad. */
export function parseIpv4(text: string): Ipv4 | null {
  const match = DOTTED_QUAD.exec(text);
  if (match === null) return null;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const octet = Number(match[i]);
    if (octet > 255) return null;
    value = value * 256 + octet;
  }
  return value as Ipv4;
}

export function formatIpv4(address: Ipv4): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The number as an address; throws on a value that is no unsigned 32-bit integer, which is a bug in the caller. */
export function ipv4(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > IPV4_MAX) throw new RangeError(`not an IPv4 address: ${value}`);
  return value as Ipv4;
}

/** Four bytes in network order. */
export function ipv4ToBytes(address: Ipv4): Uint8Array {
  return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
}

export function ipv4FromBytes(bytes: Uint8Array): Ipv4 {
  if (bytes.length !== 4) throw new RangeError(`an IPv4 address has 4 bytes, not ${bytes.length}`);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) as Ipv4;
}

/** The network mask of a prefix length, e.g. 24 -> 255.255.255.0. */
export function ipv4Mask(length: number): Ipv4 {
  return (length === 0 ? 0 : (IPV4_MAX << (IPV4_BITS - length)) >>> 0) as Ipv4;
}
