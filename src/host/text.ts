// Between the host's address values and the text that netlink speaks. Pure.
import type { Mac } from "../addr/address.js";
import { formatIpv4, parseIpv4 } from "../addr/ipv4.js";
import { formatIpv6, parseIpv6 } from "../addr/ipv6.js";
import { parseMac } from "../addr/mac.js";
import type { UnderlayAddress } from "./host.js";

export function formatUnderlay(address: UnderlayAddress): string {
  return address.family === 4 ? formatIpv4(address.address) : formatIpv6(address.address);
}

export function parseUnderlay(text: string | null): UnderlayAddress | null {
  if (text === null) return null;
  const v4 = parseIpv4(text);
  if (v4 !== null) return { family: 4, address: v4 };
  const v6 = parseIpv6(text);
  return v6 === null ? null : { family: 6, address: v6 };
}

export function sameUnderlay(a: UnderlayAddress | null, b: UnderlayAddress | null): boolean {
  return a?.family === b?.family && a?.address === b?.address;
}

export function parseLinkMac(text: string | null): Mac | null {
  return text === null ? null : parseMac(text);
}
