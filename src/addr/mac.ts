// MAC addresses in lower-case colon form. Pure, except that a random one can be drawn.
import { randomBytes } from "node:crypto";
import type { Mac } from "./address.js";

const COLON_FORM = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** The address in canonical form; null when the text is not six colon-separated hex bytes. */
export function parseMac(text: string): Mac | null {
  return COLON_FORM.test(text) ? (text.toLowerCase() as Mac) : null;
}

/** Six bytes in wire order. */
export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}

export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${bytes.length}`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":") as Mac;
}

/** A random locally administered unicast address, as flannel gives its VTEP. */
export function randomMac(): Mac {
  const bytes = new Uint8Array(randomBytes(6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return macFromBytes(bytes);
}

/**
 * Another address in place of this one that no Internet checksum notices: its second 16 bits `by` (1 to 0xfffe) more, its third as
 * much less, in one's complement. The first stay, and with them what kind of address it is.
 */
export function shiftMac(mac: Mac, by: number): Mac {
  const bytes = macToBytes(mac);
  const words = new DataView(bytes.buffer);
  words.setUint16(2, addOnes(words.getUint16(2), by));
  words.setUint16(4, addOnes(words.getUint16(4), 0xffff - by));
  return macFromBytes(bytes);
}

function addOnes(a: number, b: number): number {
  const sum = a + b;
  return (sum & 0xffff) + (sum >> 16);
}

/** True for an address one interface may own: unicast and not all zero. */
export function isUnicastMac(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== "00:00:00:00:00:00";
}
