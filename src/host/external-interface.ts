// Which interface carries the traffic between hosts, and which of its addresses. flannel's order: every --iface, then every
// --iface-regex, then --iface-can-reach; without any of them the interface that owns --public-ip, else the default route's.
// Pure over a listing of the host, so that tests need no root.
import type { Ipv4, Ipv6 } from "../addr/address.js";
import { formatIpv4 } from "../addr/ipv4.js";
import { formatAddress } from "../addr/prefix.js";
import { isRoutable6 } from "../addr/routable.js";
import { RipstopError } from "../lib/errors.js";
import type { Host, HostRoute, Link, LinkAddress, UnderlayAddress } from "./host.js";
import { formatUnderlay, parseUnderlay } from "./text.js";

export interface InterfaceWishes {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  /** An IP address, or "". */
  readonly ifaceCanReach: string;
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
}

export interface StackWishes {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

export interface HostListing {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly HostRoute[];
  /** Index of the link that routes to --iface-can-reach; null when nothing does. */
  readonly reachingLink: number | null;
}

export interface ExternalInterface {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  /** Addresses to bind and to send from; null when the family is off. */
  readonly ipv4: Ipv4 | null;
  readonly ipv6: Ipv6 | null;
  /** Addresses announced to the other nodes; differ from the above behind NAT. */
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
}

/** Reads the listing that selectExternalInterface() needs. */
export async function listHost(host: Host, wishes: InterfaceWishes): Promise<HostListing> {
  const [links, addresses, routes] = await Promise.all([host.links(), host.addresses(), host.routes()]);
  const target = parseUnderlay(wishes.ifaceCanReach);
  const reached = target === null ? null : await host.lookUpRoute(target);
  return { links, addresses, routes, reachingLink: reached?.linkIndex ?? null };
}

/** Throws EXTERNAL_INTERFACE with every candidate tried and why it did not do. */
export function selectExternalInterface(
  wishes: InterfaceWishes,
  stack: StackWishes,
  listing: HostListing,
): ExternalInterface {
  const tried: string[] = [];
  for (const { name, find } of candidates(wishes, stack, listing)) {
    const found = find();
    if (typeof found === "string") tried.push(`${name}: ${found}`);
    else {
      const complete = complement(found, wishes, stack, listing);
      if (typeof complete !== "string") return complete;
      tried.push(`${name}: ${complete}`);
    }
  }
  throw new RipstopError(
    "EXTERNAL_INTERFACE",
    `found no interface for the traffic between hosts (${tried.join("; ")}); name one with --iface`,
    { op: "choose the external interface" },
  );
}

/** A link, and the one address of it that was asked for, if any. */
interface Match {
  readonly link: Link;
  readonly address: UnderlayAddress | null;
}
interface Candidate {
  readonly name: string;
  readonly find: () => Match | string;
}

function candidates(wishes: InterfaceWishes, stack: StackWishes, listing: HostListing): Candidate[] {
  const list: Candidate[] = [
    ...wishes.iface.map((name) => ({ name: `--iface=${name}`, find: () => byNameOrAddress(name, listing) })),
    ...wishes.ifaceRegex.map((pattern) => ({
      name: `--iface-regex=${pattern}`,
      find: () => byPattern(new RegExp(pattern), stack, listing),
    })),
  ];
  if (wishes.ifaceCanReach !== "") {
    const name = `--iface-can-reach=${wishes.ifaceCanReach}`;
    list.push({ name, find: () => byIndex(listing, listing.reachingLink) ?? "no route leads there" });
  }
  if (list.length > 0) return list;
  const announced = announcedAddress(wishes);
  if (announced !== null) {
    const name = `--public-ip=${formatUnderlay(announced)}`;
    return [
      {
        name,
        find: () => byAddress(announced, listing) ?? "no interface has this address; behind NAT give --iface too",
      },
    ];
  }
  return [{ name: "default route", find: () => byDefaultRoute(stack, listing) }];
}

function announcedAddress({ publicIp, publicIpv6 }: InterfaceWishes): UnderlayAddress | null {
  if (publicIp !== null) return { family: 4, address: publicIp };
  return publicIpv6 === null ? null : { family: 6, address: publicIpv6 };
}

function byIndex({ links }: HostListing, index: number | null): Match | null {
  const link = links.find((candidate) => candidate.index === index);
  return link === undefined ? null : { link, address: null };
}

function byAddress(address: UnderlayAddress, listing: HostListing): Match | null {
  const owner = listing.addresses.find(
    ({ prefix }) => prefix.family === address.family && prefix.address === address.address,
  );
  const match = owner === undefined ? null : byIndex(listing, owner.linkIndex);
  return match === null ? null : { ...match, address };
}

function byNameOrAddress(name: string, listing: HostListing): Match | string {
  const address = parseUnderlay(name);
  if (address !== null) return byAddress(address, listing) ?? "no interface has this address";
  const link = listing.links.find((candidate) => candidate.name === name);
  return link === undefined ? "no such interface" : { link, address: null };
}

/** Addresses are matched before names, as flannel does; in dual stack one pattern must fit an address of each family. */
function byPattern(pattern: RegExp, stack: StackWishes, listing: HostListing): Match | string {
  for (const link of listing.links) {
    const own = usable(listing.addresses, link).filter(({ prefix }) => pattern.test(formatAddress(prefix)));
    const fits4 = own.find(({ prefix }) => prefix.family === 4);
    const fits6 = own.find(({ prefix }) => prefix.family === 6);
    if ((stack.ipv4 && fits4 === undefined) || (stack.ipv6 && fits6 === undefined)) continue;
    const single = stack.ipv4 && stack.ipv6 ? undefined : (fits4 ?? fits6);
    return { link, address: single === undefined ? null : toUnderlay(single) };
  }
  const named = listing.links.find((candidate) => pattern.test(candidate.name));
  return named === undefined ? "matches no address and no name" : { link: named, address: null };
}

function byDefaultRoute(stack: StackWishes, listing: HostListing): Match | string {
  const v4 = stack.ipv4 ? defaultLink(4, listing) : null;
  const v6 = stack.ipv6 ? defaultLink(6, listing) : null;
  if (stack.ipv4 && v4 === null) return "there is none for IPv4";
  if (stack.ipv6 && v6 === null) return "there is none for IPv6";
  if (v4 !== null && v6 !== null && v4.link.index !== v6.link.index) {
    return `IPv4 uses ${v4.link.name} and IPv6 uses ${v6.link.name}, dual stack needs one interface`;
  }
  return v4 ?? v6 ?? "no family is enabled";
}

function defaultLink(family: 4 | 6, listing: HostListing): Match | null {
  const route = listing.routes.find(({ destination }) => destination.family === family && destination.length === 0);
  return route === undefined ? null : byIndex(listing, route.linkIndex);
}

/** Chooses addresses, MTU and what to announce; a text says why the link does not do. */
function complement(
  { link, address }: Match,
  wishes: InterfaceWishes,
  stack: StackWishes,
  listing: HostListing,
): ExternalInterface | string {
  if (link.mtu === 0) return `${link.name} has no MTU`;
  const own = usable(listing.addresses, link);
  let ipv4: Ipv4 | null = null;
  let ipv6: Ipv6 | null = null;
  if (stack.ipv4) {
    ipv4 = address?.family === 4 ? address.address : best4(own);
    if (ipv4 === null) return `${link.name} has no usable IPv4 address`;
  }
  if (stack.ipv6) {
    ipv6 = address?.family === 6 ? address.address : best6(own);
    if (ipv6 === null) return `${link.name} has no usable IPv6 address`;
  }
  const publicIp = stack.ipv4 ? (wishes.publicIp ?? ipv4) : null;
  const publicIpv6 = stack.ipv6 ? (wishes.publicIpv6 ?? ipv6) : null;
  const { index, name, mtu } = link;
  return { index, name, mtu, ipv4, ipv6, publicIp, publicIpv6 };
}

/** Addresses other hosts could send to, best first; the kernel's order decides ties. */
function usable(addresses: readonly LinkAddress[], link: Link): LinkAddress[] {
  return addresses
    .filter((address) => address.linkIndex === link.index && !address.flags.deprecated && isUnicast(address))
    .sort((a, b) => rank(a) - rank(b));
}

function rank(address: LinkAddress): number {
  const { permanent, temporary } = address.flags;
  return (isLinkLocal(address) ? 4 : 0) + (permanent ? 0 : 2) + (temporary ? 1 : 0);
}

function isUnicast({ prefix }: LinkAddress): boolean {
  if (prefix.family === 4) {
    const first = prefix.address >>> 24;
    return first !== 0 && first !== 127 && first < 224;
  }
  return isRoutable6(prefix.address);
}

function isLinkLocal({ prefix }: LinkAddress): boolean {
  return prefix.family === 4 && prefix.address >>> 16 === 0xa9fe;
}

function best4(addresses: readonly LinkAddress[]): Ipv4 | null {
  const found = addresses.find(({ prefix }) => prefix.family === 4)?.prefix;
  return found?.family === 4 ? found.address : null;
}

function best6(addresses: readonly LinkAddress[]): Ipv6 | null {
  const found = addresses.find(({ prefix }) => prefix.family === 6)?.prefix;
  return found?.family === 6 ? found.address : null;
}

function toUnderlay({ prefix }: LinkAddress): UnderlayAddress {
  return prefix.family === 4 ? { family: 4, address: prefix.address } : { family: 6, address: prefix.address };
}

/** For logs: "eth0 (192.0.2.10, announced as 203.0.113.5)". */
export function describeExternalInterface(external: ExternalInterface): string {
  const bound =
    external.ipv4 !== null
      ? formatIpv4(external.ipv4)
      : formatUnderlay({ family: 6, address: external.ipv6 ?? (0n as Ipv6) });
  const nat = external.ipv4 !== null && external.publicIp !== null && external.publicIp !== external.ipv4;
  return `${external.name} (${bound}${nat ? `, announced as ${formatIpv4(external.publicIp)}` : ""})`;
}
