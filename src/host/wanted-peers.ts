// What a set of peers means in the kernel: neighbors, FDB entries and routes by their identity there; what to send when one
// peer becomes another; and whether something the kernel announces is as it shall be. Pure but for the maps, which change
// with every call of changeWanted().
import type { Mac } from "../addr/address.js";
import { formatAddress, formatPrefix } from "../addr/prefix.js";
import { type HostFailure, type PeerEntry, RIPSTOP_ROUTE_PROTOCOL } from "./host.js";
import {
  NEIGHBOR_FLAG,
  NEIGHBOR_STATE,
  type NetlinkRequest,
  type NetlinkRoute,
  type NetlinkVerb,
  SCOPE,
} from "./netlink-objects.js";
import { formatUnderlay } from "./text.js";

const ENODEV = 19;

export interface WantedRoute {
  readonly gateway: string | null;
  readonly linkIndex: number;
  readonly onlink: boolean;
  readonly scope: number;
}

export interface WantedPeers {
  /** Our own device's index; null when the scope has none. */
  readonly deviceIndex: number | null;
  /** Address to MAC. */
  readonly neighbors: Map<string, Mac>;
  /** MAC to remote address. */
  readonly fdb: Map<string, string>;
  /** By prefix. */
  readonly routes: Map<string, WantedRoute>;
}

export interface Wanted {
  readonly wanted: WantedPeers;
  /** Entries that nothing can be made of. */
  readonly conflicts: readonly HostFailure[];
}

export function wantedPeers(
  entries: readonly PeerEntry[],
  deviceIndex: number | null,
  linkIndexOf: ReadonlyMap<string, number>,
): Wanted {
  const wanted: WantedPeers = { deviceIndex, neighbors: new Map(), fdb: new Map(), routes: new Map() };
  const conflicts: HostFailure[] = [];
  const scope = SCOPE.global;
  for (const entry of entries) {
    const key = formatPrefix(entry.prefix);
    if (entry.kind === "vxlan") {
      if (deviceIndex === null) continue;
      const base = formatAddress(entry.prefix);
      wanted.neighbors.set(base, entry.vtepMac);
      wanted.fdb.set(entry.vtepMac, formatUnderlay(entry.remote));
      wanted.routes.set(key, { gateway: base, linkIndex: deviceIndex, onlink: true, scope });
      continue;
    }
    const linkIndex = linkIndexOf.get(entry.device);
    if (linkIndex === undefined) {
      conflicts.push({ object: `route ${key}`, errno: ENODEV, message: `interface ${entry.device} does not exist` });
    } else if (entry.kind === "device") {
      const reach = entry.scope === "link" ? SCOPE.link : scope;
      wanted.routes.set(key, { gateway: null, linkIndex, onlink: false, scope: reach });
    } else {
      wanted.routes.set(key, { gateway: formatUnderlay(entry.via), linkIndex, onlink: entry.onlink ?? false, scope });
    }
  }
  return { wanted, conflicts };
}

/**
 * Brings `all` from `before` to `after`, both parts of it, and returns what to send, in order: FDB, neighbor, route for what is
 * added; route, neighbor, FDB for what goes, so that a peer that changes its MAC misses no packet. What is new is added and
 * never replaced: the kernel refuses where another program was quicker.
 */
export function changeWanted(all: WantedPeers, before: WantedPeers, after: WantedPeers): NetlinkRequest[] {
  const device = all.deviceIndex ?? 0;
  const neighbors = change(all.neighbors, before.neighbors, after.neighbors, Object.is);
  const fdb = change(all.fdb, before.fdb, after.fdb, Object.is);
  const routes = change(all.routes, before.routes, after.routes, sameWantedRoute);
  return [
    ...fdb.made.map(({ verb, key, value }) => fdbRequest(verb, device, key, value)),
    ...neighbors.made.map(({ verb, key, value }) => neighborRequest(verb, device, key, value)),
    ...routes.made.flatMap(({ verb, key, value, before: old }) =>
      old !== undefined && mustGoFirst(key, old, value)
        ? [routeRequest("delete", key, old), routeRequest(verb, key, value)]
        : [routeRequest(verb, key, value)],
    ),
    ...routes.gone.map(({ key, value }) => routeRequest("delete", key, value)),
    ...neighbors.gone.map(({ key, value }) => neighborRequest("delete", device, key, value)),
    ...fdb.gone.map(({ key, value }) => fdbRequest("delete", device, key, value)),
  ];
}

function change<T>(
  all: Map<string, T>,
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
) {
  const made: { readonly verb: "add" | "replace"; readonly key: string; readonly value: T; readonly before?: T }[] = [];
  const gone: { readonly key: string; readonly value: T }[] = [];
  for (const key of before.keys()) {
    const value = all.get(key);
    if (value === undefined || after.has(key)) continue;
    all.delete(key);
    gone.push({ key, value });
  }
  for (const [key, value] of after) {
    const present = all.get(key);
    if (present !== undefined && same(present, value)) continue;
    all.set(key, value);
    made.push(present === undefined ? { verb: "add", key, value } : { verb: "replace", key, value, before: present });
  }
  return { made, gone };
}

export function neighborRequest(verb: NetlinkVerb, linkIndex: number, address: string, mac: Mac): NetlinkRequest {
  const state = NEIGHBOR_STATE.permanent;
  return { verb, object: "neighbor", linkIndex, address, mac, state, protocol: RIPSTOP_ROUTE_PROTOCOL };
}

export function fdbRequest(verb: NetlinkVerb, linkIndex: number, mac: string, address: string): NetlinkRequest {
  const state = NEIGHBOR_STATE.permanent;
  return { verb, object: "fdb", linkIndex, mac, address, state, flags: NEIGHBOR_FLAG.self };
}

/**
 * The kernel refuses an IPv6 onlink route whose gateway a route of another device covers (EINVAL), and the gateway of a peer is
 * the first address of its own subnet: so the direct route to that subnet cannot be replaced, only deleted before.
 */
export function mustGoFirst(destination: string, before: Pick<WantedRoute, "linkIndex">, want: WantedRoute): boolean {
  return destination.includes(":") && want.onlink && before.linkIndex !== want.linkIndex;
}

export function routeRequest(verb: NetlinkVerb, destination: string, route: WantedRoute): NetlinkRequest {
  const { gateway, linkIndex, onlink, scope } = route;
  return {
    verb,
    object: "route",
    destination,
    gateway,
    linkIndex,
    onlink,
    protocol: RIPSTOP_ROUTE_PROTOCOL,
    scope,
  };
}

function sameWantedRoute(a: WantedRoute, b: WantedRoute): boolean {
  return a.gateway === b.gateway && a.linkIndex === b.linkIndex && a.onlink === b.onlink && a.scope === b.scope;
}

export function isWantedRoute(route: NetlinkRoute, want: WantedRoute): boolean {
  // IPv6 routes have no scope of their own.
  const sameScope = route.destination.includes(":") || route.scope === want.scope;
  return (
    sameScope && route.gateway === want.gateway && route.linkIndex === want.linkIndex && route.onlink === want.onlink
  );
}
