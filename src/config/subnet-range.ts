// The allocation range of one family: SubnetLen, SubnetMin and SubnetMax with flannel's defaults and refusals. One body for
// IPv4 and IPv6; only limits and field names differ. Pure.
import type { Ipv4, Ipv6, Prefix, Prefix4, Prefix6 } from "../addr/address.js";
import { IPV4_BITS } from "../addr/ipv4.js";
import { IPV6_BITS } from "../addr/ipv6.js";
import {
  addressAt,
  formatAddress,
  formatPrefix,
  lastAddress,
  maskPrefix,
  prefixContains,
  prefixSize,
} from "../addr/prefix.js";
import { RipstopError } from "../lib/errors.js";

export interface SubnetRange<P extends Prefix> {
  readonly network: P;
  readonly subnetLen: number;
  /** First and last subnet that may be handed out. */
  readonly min: P;
  readonly max: P;
}
export type SubnetRange4 = SubnetRange<Prefix4>;
export type SubnetRange6 = SubnetRange<Prefix6>;

interface Family {
  readonly bits: number;
  /** Prepended to field names in messages. */
  readonly fields: "" | "IPv6";
  /** Networks up to this length get subnets of `preferredLen`. */
  readonly preferredLen: number;
}
const V4: Family = { bits: IPV4_BITS, fields: "", preferredLen: 24 };
const V6: Family = { bits: IPV6_BITS, fields: "IPv6", preferredLen: 64 };

/** `len` 0 and `min`/`max` null or zero mean: derive. */
export function subnetRange<P extends Prefix>(
  network: P,
  len: number,
  min: Ipv4 | Ipv6 | null,
  max: Ipv4 | Ipv6 | null,
): SubnetRange<P> {
  const family = network.family === 4 ? V4 : V6;
  const subnetLen = len > 0 ? checkLength(family, network, len) : deriveLength(family, network);
  const sized = (address: P["address"]) => ({ ...network, address, length: subnetLen }) as P;
  const size = prefixSize(sized(network.address));
  const first = given(min) ? (min as P["address"]) : addressAt(network, size);
  const last = given(max) ? (max as P["address"]) : maskPrefix(sized(lastAddress(network))).address;
  for (const [field, address] of [
    ["SubnetMin", first],
    ["SubnetMax", last],
  ] as const) {
    checkBound(family, network, `${family.fields}${field}`, sized(address));
  }
  if (first > last) {
    throw invalid(
      `${family.fields}SubnetMin ${formatAddress(sized(first))} is above ${family.fields}SubnetMax ${formatAddress(sized(last))}`,
      "exchange them",
    );
  }
  return { network, subnetLen, min: sized(first), max: sized(last) };
}

function given(address: Ipv4 | Ipv6 | null): boolean {
  return address !== null && BigInt(address) !== 0n;
}

function checkLength(family: Family, network: Prefix, len: number): number {
  const field = `${family.fields}SubnetLen`;
  if (len > family.bits - 2) {
    throw invalid(
      `SubnetLen must be less than /${family.bits - 1}, but ${field} is ${len}`,
      `give ${field} at most ${family.bits - 2}`,
    );
  }
  if (len < network.length + 2) {
    throw invalid(
      `network must be able to accommodate at least four subnets, but ${formatPrefix(network)} holds fewer of ${field} ${len}`,
      `give ${field} at least ${network.length + 2}`,
    );
  }
  return len;
}

function deriveLength(family: Family, network: Prefix): number {
  const longest = family.bits - 4;
  if (network.length > longest) {
    const what = family.fields === "" ? "network" : "IPv6Network";
    throw invalid(
      `${what} is too small. Minimum useful network prefix is /${longest}, but ${family.fields}Network is ${formatPrefix(network)}`,
      `give it /${longest} or larger`,
    );
  }
  return network.length <= family.preferredLen - 2 ? family.preferredLen : network.length + 2;
}

function checkBound(family: Family, network: Prefix, field: string, bound: Prefix): void {
  if (!prefixContains(network, bound.address)) {
    throw invalid(
      `${field} is not in the range of the ${family.fields}Network: ${formatAddress(bound)} is outside ${formatPrefix(network)}`,
      "choose an address inside it",
    );
  }
  const aligned = maskPrefix(bound);
  if (aligned.address !== bound.address) {
    throw invalid(`${field} is not on a SubnetLen boundary: ${formatAddress(bound)}`, `use ${formatAddress(aligned)}`);
  }
}

function invalid(problem: string, remedy: string): RipstopError {
  return new RipstopError("NETWORK_CONFIG_INVALID", `${problem}; ${remedy}`);
}
