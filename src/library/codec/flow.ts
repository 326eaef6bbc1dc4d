// The outer UDP source port of a flow (RFC 7348 section 5: 49152 to 65535 by a hash of the inner headers), so that routers
// spread flows over paths and keep each in order. Not the same numbers as the native path's hash, which nobody may rely on.
// Pure, allocates nothing.

const PORT_MIN = 49_152;
const PORTS = 16_384;
const ETHERNET = 14;
const PRIME = 0x0100_0193;

/** `offset`, `length`: an Ethernet frame in `arena`. Fragments and what is no IP hash without ports. */
export function flowPort(arena: Uint8Array, offset: number, length: number): number {
  const ip = offset + ETHERNET;
  const version = length > ETHERNET ? (arena[ip] as number) >> 4 : 0;
  const type = ((arena[offset + 12] as number) << 8) | (arena[offset + 13] as number);
  if (type === 0x0800 && version === 4 && length >= ETHERNET + 20) {
    const header = ((arena[ip] as number) & 15) * 4;
    const whole = ((((arena[ip + 6] as number) << 8) | (arena[ip + 7] as number)) & 0x3fff) === 0;
    const hash = hashRange(arena, ip + 12, 8, arena[ip + 9] as number);
    return toPort(withPorts(arena, ip + header, offset + length, arena[ip + 9] as number, whole, hash));
  }
  if (type === 0x86dd && version === 6 && length >= ETHERNET + 40) {
    const hash = hashRange(arena, ip + 8, 32, arena[ip + 6] as number);
    return toPort(withPorts(arena, ip + 40, offset + length, arena[ip + 6] as number, true, hash));
  }
  return toPort(hashRange(arena, offset, Math.min(12, length), 0));
}

function withPorts(arena: Uint8Array, l4: number, end: number, protocol: number, whole: boolean, hash: number): number {
  const ports = whole && (protocol === 6 || protocol === 17) && l4 + 4 <= end;
  return ports ? hashRange(arena, l4, 4, hash) : hash;
}

/** FNV-1a, 32 bits. */
function hashRange(bytes: Uint8Array, from: number, length: number, initial: number): number {
  let hash = (0x811c_9dc5 ^ initial) | 0;
  for (let i = from; i < from + length; i++) hash = Math.imul(hash ^ (bytes[i] as number), PRIME);
  return hash;
}

function toPort(hash: number): number {
  return PORT_MIN + (((hash ^ (hash >>> 15)) >>> 0) % PORTS);
}
