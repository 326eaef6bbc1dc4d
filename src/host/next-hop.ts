// Finds the next hops towards underlay addresses and has the kernel resolve them. An entry is asked for as "managed"
// (NTF_EXT_MANAGED, kernel >= 5.16), so that the kernel keeps it fresh without traffic of its own; older kernels get NTF_USE,
// which resolves once. One that does not answer is given back, or the kernel would ask for it every few seconds for ever. A
// static entry that an operator made is used as it is.
import type { Clock } from "../lib/clock.js";
import { RIPSTOP_ROUTE_PROTOCOL, type ResolvedHop, type UnderlayAddress } from "./host.js";
import type { Netlink } from "./netlink.js";
import {
  NEIGHBOR_EXT_FLAG,
  NEIGHBOR_FLAG,
  NEIGHBOR_STATE,
  type NetlinkLink,
  type NetlinkNeighbor,
} from "./netlink-objects.js";
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
/** But a link that has just come up loses the first, and everybody's packets would wait for the second: so we ask sooner. */
const ASK_AGAIN_MS = 100;
/** Resolving waits for answers from the network, so many questions are open at once. */
const LOOKUPS_AT_ONCE = 64;

/** In the order of the addresses; null: no route leads there, or the signal came first. */
export async function resolveNextHops(
  netlink: Netlink,
  addresses: readonly UnderlayAddress[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly (ResolvedHop | null)[]> {
  const links = new Map((await netlink.dump("link")).map((link) => [link.index, link]));
  const round: Round = { netlink, links, clock, signal, neighbors: new Map() };
  const found: (ResolvedHop | null)[] = addresses.map(() => null);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < addresses.length && !signal.aborted; i = next++) {
      const address = addresses[i];
      if (address !== undefined) found[i] = await resolveOne(round, address);
    }
  };
  await Promise.all(Array.from({ length: Math.min(LOOKUPS_AT_ONCE, addresses.length) }, worker));
  return found;
}

/** Many peers share a gateway: each neighbor is asked for once a round. */
interface Round {
  readonly netlink: Netlink;
  readonly links: ReadonlyMap<number, NetlinkLink>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly neighbors: Map<string, Promise<NetlinkNeighbor | null>>;
}

async function resolveOne(round: Round, address: UnderlayAddress): Promise<ResolvedHop | null> {
  const route = await round.netlink.route({ address: formatUnderlay(address) });
  const link = round.links.get(route?.linkIndex ?? 0);
  if (route === null || link === undefined) return null;
  const gateway = parseUnderlay(route.gateway);
  const hop = { device: link.name, gateway, mtu: route.mtu ?? link.mtu };
  if ((link.flags & (IFF_LOOPBACK | IFF_NOARP)) !== 0) return { ...hop, mac: null };
  const target = formatUnderlay(gateway ?? address);
  const key = `${link.index} ${target}`;
  const asked = round.neighbors.get(key) ?? resolveNeighbor(round, target, link.index);
  round.neighbors.set(key, asked);
  return { ...hop, mac: parseLinkMac((await asked)?.mac ?? null) };
}

async function resolveNeighbor(round: Round, address: string, linkIndex: number): Promise<NetlinkNeighbor | null> {
  const { netlink, clock, signal } = round;
  const present = await netlink.neighbor(address, linkIndex);
  const managed = present !== null && (present.extFlags & NEIGHBOR_EXT_FLAG.managed) !== 0;
  const fixed = present !== null && (present.state & NEIGHBOR_STATE.permanent) !== 0;
  if (present !== null && usable(present) && (managed || fixed)) return present;
  await ask(netlink, address, linkIndex);
  // Looked at between two short pauses: a signal that wakes so many sleepers would be told to leak.
  const pause = new AbortController().signal;
  let againMs = ASK_AGAIN_MS;
  for (const begin = clock.nowMs(), end = begin + RESOLVE_MS_MAX; ; ) {
    const entry = await netlink.neighbor(address, linkIndex);
    if (entry !== null && usable(entry)) return entry;
    const failed = entry !== null && (entry.state & NEIGHBOR_STATE.failed) !== 0;
    const ours = entry?.protocol === RIPSTOP_ROUTE_PROTOCOL;
    const over = failed || signal.aborted || clock.nowMs() >= end;
    if (ours && (over || clock.nowMs() >= begin + againMs))
      await netlink.apply([{ verb: "delete", object: "neighbor", linkIndex, address }]);
    if (over) return null;
    if (ours && clock.nowMs() >= begin + againMs) {
      againMs *= 2;
      await ask(netlink, address, linkIndex);
    }
    await clock.sleep(RESOLVE_STEP_MS, pause);
  }
}

/** Of all links: that of a peer may have been another. */
export async function releaseNeighbors(netlink: Netlink, unwanted: (address: string) => boolean): Promise<void> {
  const kept = (await netlink.dump("neighbor")).filter(
    ({ protocol, extFlags, address }) =>
      protocol === RIPSTOP_ROUTE_PROTOCOL &&
      (extFlags & NEIGHBOR_EXT_FLAG.managed) !== 0 &&
      address !== null &&
      unwanted(address),
  );
  await netlink.apply(
    kept.map(({ linkIndex, address }) => ({ verb: "delete", object: "neighbor", linkIndex, address: address ?? "" })),
  );
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
