// Which subnet a node may take: one of the first hundred free ones in the configured range, at random, as flannel does, so
// that nodes that start together rarely collide. Pure; the manager does the claiming.
import type { Prefix } from "../addr/address.js";
import {
  addressAt,
  comparePrefixes,
  formatPrefix,
  prefixContains,
  prefixesOverlap,
  prefixSize,
} from "../addr/prefix.js";
import type { SubnetRange, SubnetRange4, SubnetRange6 } from "../config/subnet-range.js";
import type { Subnets } from "../store/store.js";

/** Where each family allocates; null: the family is off. */
export interface SubnetRanges {
  readonly range: SubnetRange4 | null;
  readonly ipv6Range: SubnetRange6 | null;
}

const CANDIDATES_MAX = 100;

/** True when the configuration would hand out exactly these subnets today. */
export function fitsRanges(subnets: Subnets, ranges: SubnetRanges): boolean {
  return fits(subnets.subnet, ranges.range) && fits(subnets.ipv6Subnet, ranges.ipv6Range);
}

function fits(subnet: Prefix | null, range: SubnetRange<Prefix> | null): boolean {
  if (subnet === null || range === null) return subnet === range;
  return (
    subnet.length === range.subnetLen &&
    prefixContains(range.network, subnet.address) &&
    subnet.address >= range.min.address &&
    subnet.address <= range.max.address
  );
}

/** True when no taken prefix shares an address with the subnets. */
export function isFree(subnets: Subnets, taken: readonly Prefix[]): boolean {
  return [subnets.subnet, subnets.ipv6Subnet].every(
    (subnet) => subnet === null || !taken.some((other) => prefixesOverlap(subnet, other)),
  );
}

/** A free subnet of each family that is on; the string says why there is none. */
export function pickSubnets(ranges: SubnetRanges, taken: readonly Prefix[], random: () => number): Subnets | string {
  const subnet = ranges.range === null ? null : pick(ranges.range, taken, random);
  if (typeof subnet === "string") return subnet;
  const ipv6Subnet = ranges.ipv6Range === null ? null : pick(ranges.ipv6Range, taken, random);
  if (typeof ipv6Subnet === "string") return ipv6Subnet;
  return { subnet, ipv6Subnet };
}

function pick<P extends Prefix>(range: SubnetRange<P>, taken: readonly Prefix[], random: () => number): P | string {
  const free = firstFree(range, taken, CANDIDATES_MAX);
  const chosen = free[Math.min(free.length - 1, Math.floor(random() * free.length))];
  if (chosen !== undefined) return chosen;
  const fields =
    range.network.family === 4 ? "SubnetMin, SubnetMax or Network" : "IPv6SubnetMin, IPv6SubnetMax or IPv6Network";
  return `out of subnets: everything from ${formatPrefix(range.min)} to ${formatPrefix(range.max)} is leased; widen ${fields}, or delete the leases of nodes that are gone`;
}

/** Walks the range once beside the sorted taken prefixes and jumps over each: a large one costs no more than a small one. */
export function firstFree<P extends Prefix>(range: SubnetRange<P>, taken: readonly Prefix[], count: number): P[] {
  const size = prefixSize(range.min);
  const sorted = taken.filter((other) => other.family === range.network.family).sort(comparePrefixes);
  const free: P[] = [];
  let next = 0;
  let address = BigInt(range.min.address);
  const last = BigInt(range.max.address);
  while (address <= last && free.length < count) {
    const obstacle = sorted[next];
    const start = obstacle === undefined ? null : BigInt(obstacle.address);
    if (obstacle === undefined || start === null || start >= address + size) {
      free.push({ ...range.min, address: addressAt(range.min, address - BigInt(range.min.address)) });
      address += size;
      continue;
    }
    const end = start + prefixSize(obstacle);
    // Up to the next boundary at or after the end; never backwards.
    if (end > address) address += ((end - address + size - 1n) / size) * size;
    next++;
  }
  return free;
}
