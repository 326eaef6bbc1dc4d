// Finds the next hop towards an underlay address and has the kernel resolve it. The entry is asked for as "managed"
// (NTF_EXT_MANAGED, kernel >= 5.16), so that the kernel keeps it fresh without traffic of its own; older kernels get NTF_USE,
// which resolves once. A static entry that an operator made is used as it is.
import type { Clock } from "../lib/clock.js";
import { RIPSTOP_ROUTE_PROTOCOL, type ResolvedHop, type UnderlayAddress } from "./host.js";
import type { Netlink } from "./netlink.js";
import { NEIGHBOR_EXT_FLAG, NEIGHBOR_FLAG, NEIGHBOR_STATE, type NetlinkNeighbor } from "./netlink-objects.js";
import { formatUnderlay, parseLinkMac, parseUnderlay } from "./text.js";

const USABLE =
  NEIGHBOR_STATE.reachable |
  NEIGHBOR_STATE.stale |
  NEIGHBOR_STATE.delay |
  NEIGHBOR_STATE.probe |
  NEIGHBOR_STATE.permanent;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
/** ARP asks three times, a second apart; a peer on a live segment answers the first. */
const RESOLVE_MS_MAX = 1000;
const RESOLVE_STEP_MS = 20;

export async function resolveNextHop(
  netlink: Netlink,
  address: UnderlayAddress,
  clock: Clock,
): Promise<ResolvedHop | null> {
  const route = await netlink.route({ address: formatUnderlay(address) });
  if (route === null || route.linkIndex === null) return null;
  const link = (await netlink.dump("link")).find((candidate) => candidate.index === route.linkIndex);
  if (link === undefined) return null;
  const gateway = parseUnderlay(route.gateway);
  const hop = { device: link.name, gateway, mtu: route.mtu ?? link.mtu };
  if ((link.flags & (IFF_LOOPBACK | IFF_NOARP)) !== 0) return { ...hop, mac: null };
  const target = formatUnderlay(gateway ?? address);
  const entry = await resolve(netlink, target, link.index, clock);
  return { ...hop, mac: parseLinkMac(entry?.mac ?? null) };
}

async function resolve(
  netlink: Netlink,
  address: string,
  linkIndex: number,
  clock: Clock,
): Promise<NetlinkNeighbor | null> {
  const present = await netlink.neighbor(address, linkIndex);
  const managed = present !== null && (present.extFlags & NEIGHBOR_EXT_FLAG.managed) !== 0;
  const fixed = present !== null && (present.state & NEIGHBOR_STATE.permanent) !== 0;
  if (present !== null && usable(present) && (managed || fixed)) return present;
  // The kernel is at it already, and waiting for a dead neighbor each time would hold up all the others.
  if (managed) return null;
  await ask(netlink, address, linkIndex);
  const signal = new AbortController().signal;
  for (const end = clock.nowMs() + RESOLVE_MS_MAX; ; ) {
    const entry = await netlink.neighbor(address, linkIndex);
    if (entry !== null && usable(entry)) return entry;
    if (entry !== null && (entry.state & NEIGHBOR_STATE.failed) !== 0) return null;
    if (clock.nowMs() >= end) return null;
    await clock.sleep(RESOLVE_STEP_MS, signal);
  }
}

async function ask(netlink: Netlink, address: string, linkIndex: number): Promise<void> {
  const object = "neighbor";
  const extFlags = NEIGHBOR_EXT_FLAG.managed;
  const protocol = RIPSTOP_ROUTE_PROTOCOL;
  const [outcome] = await netlink.apply([{ verb: "replace", object, linkIndex, address, extFlags, protocol }]);
  if (outcome?.ok === true) return;
  await netlink.apply([{ verb: "replace", object, linkIndex, address, flags: NEIGHBOR_FLAG.use }]);
}

function usable(entry: NetlinkNeighbor): boolean {
  return entry.mac !== null && (entry.state & USABLE) !== 0;
}
