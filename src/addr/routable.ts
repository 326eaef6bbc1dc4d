// Whether packets of an overlay may be sent to an address: what the data plane demands of every one it is told (Carriable in
// native/net). Link-local addresses are none, because a lease cannot say on which link. Pure.
import type { Ipv4, Ipv6 } from "./address.js";

const LINK_LOCAL_V4 = 0xa9fe;
const LINK_LOCAL_V6 = 0xfe80n >> 6n;

export function isRoutable4(address: Ipv4): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224 && address >>> 16 !== LINK_LOCAL_V4;
}

/** ::/80 holds ::, ::1 and IPv4 in disguise. */
export function isRoutable6(address: Ipv6): boolean {
  return address >> 48n !== 0n && address >> 120n !== 0xffn && address >> 118n !== LINK_LOCAL_V6;
}
