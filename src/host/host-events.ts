// Kernel notices as reasons to look again. What we have made ourselves comes back as a notice too and is no reason, so each one
// is compared with what we want: an echo fits, somebody else's change does not.
import { parsePrefix, prefixCovers } from "../addr/prefix.js";
import type { HostEvent } from "./host.js";
import type { Netlink } from "./netlink.js";
import {
  NEIGHBOR_STATE,
  type NetlinkFdbEntry,
  type NetlinkLink,
  type NetlinkNeighbor,
  type NetlinkNotice,
  type NetlinkRoute,
  ROUTE_TYPE,
} from "./netlink-objects.js";
import type { OwnScopes } from "./own-scopes.js";
import { parseLinkMac } from "./text.js";
import { isWantedRoute } from "./wanted-peers.js";
import { RIPSTOP_ROUTE_PROTOCOL } from "./host.js";

const MAIN_TABLE = 254;
/** Changes with the addresses, which are told too. */
const LOCAL_TABLE = 255;

export function hostEvents(netlink: Netlink, own: OwnScopes, signal: AbortSignal): AsyncIterable<readonly HostEvent[]> {
  const batches = netlink.events(["link", "address", "route", "neighbor", "rule"], signal);
  return (async function* () {
    for await (const { notices, overrun } of batches) {
      const events = notices.map((notice) => eventOf(notice, own)).filter((event) => event !== null);
      if (overrun) events.push({ kind: "overrun" });
      if (events.length > 0) yield events;
    }
  })();
}

function eventOf(notice: NetlinkNotice, own: OwnScopes): HostEvent | null {
  switch (notice.object) {
    case "link":
      return linkEvent(notice, own);
    case "address":
      return { kind: "address", linkIndex: notice.linkIndex };
    case "route":
      return routeEvent(notice, own);
    case "neighbor":
      return neighborEvent(notice, own);
    case "fdb":
      return fdbEvent(notice, own);
    case "rule":
      return { kind: "policy" };
  }
}

/** A device of ours that is given another name does not go: it is no longer where it shall be. */
function linkEvent({ name, index }: NetlinkLink, own: OwnScopes): HostEvent {
  const ours = own.nameOf(index);
  return ours === null || ours === name ? { kind: "link", name, index } : { kind: "peer", object: `link ${ours}` };
}

function routeEvent(route: NetlinkRoute & { readonly deleted: boolean }, own: OwnScopes): HostEvent | null {
  if (route.table !== MAIN_TABLE) return route.table === LOCAL_TABLE ? null : { kind: "policy" };
  const { destination, deleted } = route;
  const ours = route.protocol === RIPSTOP_ROUTE_PROTOCOL && route.type === ROUTE_TYPE.unicast;
  for (const wanted of own.values()) {
    const want = wanted.routes.get(destination);
    if (want === undefined) continue;
    return !deleted && ours && isWantedRoute(route, want) ? null : { kind: "peer", object: `route ${destination}` };
  }
  if (!ours) return isLocalMatter(destination, own) ? null : { kind: "route" };
  // Of our protocol and wanted by nobody: fine when it goes.
  return deleted ? null : { kind: "peer", object: `route ${destination}` };
}

/** Routes that lead to no other node come and go with pods: those inside the network, and each link's own link-local one. */
function isLocalMatter(destination: string, own: OwnScopes): boolean {
  if (destination.startsWith("fe80:")) return true;
  const prefix = parsePrefix(destination);
  return prefix !== null && own.networks().some((network) => prefixCovers(network, prefix));
}

function neighborEvent(entry: NetlinkNeighbor & { readonly deleted: boolean }, own: OwnScopes): HostEvent | null {
  const { linkIndex, address, deleted } = entry;
  if (address === null) return null;
  const permanent = (entry.state & NEIGHBOR_STATE.permanent) !== 0;
  const scopes = own.onDevice(linkIndex);
  if (scopes.length === 0) {
    const failed = deleted || (entry.state & NEIGHBOR_STATE.failed) !== 0;
    return { kind: "neighbor", linkIndex, address, mac: failed ? null : parseLinkMac(entry.mac) };
  }
  const broken = { kind: "peer", object: `neighbor ${address}` } as const;
  for (const { neighbors } of scopes) {
    const mac = neighbors.get(address);
    if (mac !== undefined) return !deleted && permanent && entry.mac === mac ? null : broken;
  }
  return deleted || !permanent || entry.protocol !== RIPSTOP_ROUTE_PROTOCOL ? null : broken;
}

function fdbEvent(entry: NetlinkFdbEntry & { readonly deleted: boolean }, own: OwnScopes): HostEvent | null {
  const { mac, address, deleted } = entry;
  if (mac === null) return null;
  for (const { fdb } of own.onDevice(entry.linkIndex)) {
    const remote = fdb.get(mac);
    if (remote === undefined) continue;
    const permanent = (entry.state & NEIGHBOR_STATE.permanent) !== 0;
    // An entry that goes to make room for another remote names the old one.
    const fits = deleted ? address !== remote : permanent && address === remote;
    return fits ? null : { kind: "peer", object: `fdb ${mac}` };
  }
  return null;
}
