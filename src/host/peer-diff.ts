// From what shall be to what must be sent: compares desired peers with dumped neighbors, FDB entries and routes. Pure.
//
// What counts as ours, and may be removed when nobody wants it:
//   route     protocol 158 inside the network; or protocol boot on our own device inside it (left by flannel)
//   neighbor  permanent, on our own device, inside the network, made by us or by nobody named (left by flannel)
//   fdb       permanent, on our own device, unicast, unless a neighbor that is not ours points to the same MAC
// A route that equals ours but for the protocol is adopted by replacing it. One that somebody else made for the same
// prefix is left alone and reported.
import type { Mac, Prefix } from "../addr/address.js";
import { formatAddress, formatPrefix, parsePrefix, parsePrefixWithHost, prefixCovers } from "../addr/prefix.js";
import { isUnicastMac } from "../addr/mac.js";
import { RIPSTOP_ROUTE_PROTOCOL, type HostFailure, type PeerEntry } from "./host.js";
import { formatUnderlay } from "./text.js";
import {
  NEIGHBOR_FLAG,
  NEIGHBOR_STATE,
  type NetlinkFdbEntry,
  type NetlinkNeighbor,
  type NetlinkRequest,
  type NetlinkRoute,
  ROUTE_PROTOCOL,
  ROUTE_TYPE,
  SCOPE,
} from "./netlink-objects.js";

const MAIN_TABLE = 254;
const EEXIST = 17;
/** What the kernel gives IPv6 routes that name no metric. */
const IPV6_DEFAULT_PRIORITY = 1024;

export interface ActualState {
  /** Our own device's index; null when the scope has none. */
  readonly deviceIndex: number | null;
  readonly linkIndexOf: ReadonlyMap<string, number>;
  readonly neighbors: readonly NetlinkNeighbor[];
  readonly fdb: readonly NetlinkFdbEntry[];
  readonly routes: readonly NetlinkRoute[];
}

export interface PeerDiff {
  /** In the order to apply them: neighbor, FDB, route for what is added; route, FDB, neighbor for what goes. */
  readonly requests: readonly NetlinkRequest[];
  readonly conflicts: readonly HostFailure[];
}

interface WantedRoute {
  readonly gateway: string | null;
  readonly linkIndex: number;
  readonly onlink: boolean;
  readonly scope: number;
}

export function diffPeers(network: Prefix, entries: readonly PeerEntry[], actual: ActualState): PeerDiff {
  const conflicts: HostFailure[] = [];
  const neighbors = new Map<string, Mac>();
  const fdb = new Map<string, string>();
  const routes = new Map<string, WantedRoute>();
  const scope = SCOPE.global;
  for (const entry of entries) {
    if (entry.kind === "vxlan") {
      if (actual.deviceIndex === null) continue;
      const base = formatAddress(entry.prefix);
      neighbors.set(base, entry.vtepMac);
      fdb.set(entry.vtepMac, formatUnderlay(entry.remote));
      routes.set(formatPrefix(entry.prefix), { gateway: base, linkIndex: actual.deviceIndex, onlink: true, scope });
      continue;
    }
    const linkIndex = actual.linkIndexOf.get(entry.device);
    const object = `route ${formatPrefix(entry.prefix)}`;
    if (linkIndex === undefined) {
      conflicts.push({ object, errno: 19, message: `interface ${entry.device} does not exist` });
      continue;
    }
    const key = formatPrefix(entry.prefix);
    if (entry.kind === "device") {
      const reach = entry.scope === "link" ? SCOPE.link : scope;
      routes.set(key, { gateway: null, linkIndex, onlink: false, scope: reach });
    } else {
      routes.set(key, { gateway: formatUnderlay(entry.via), linkIndex, onlink: entry.onlink ?? false, scope });
    }
  }
  const forNeighbors = diffNeighbors(network, neighbors, actual);
  const forFdb = diffFdb(fdb, forNeighbors.foreignMacs, actual);
  const forRoutes = diffRoutes(network, routes, actual);
  conflicts.push(...forRoutes.conflicts);
  const requests = [
    ...forNeighbors.add,
    ...forFdb.add,
    ...forRoutes.add,
    ...forRoutes.remove,
    ...forFdb.remove,
    ...forNeighbors.remove,
  ];
  return { requests, conflicts };
}

function diffNeighbors(network: Prefix, wanted: ReadonlyMap<string, Mac>, actual: ActualState) {
  const add: NetlinkRequest[] = [];
  const remove: NetlinkRequest[] = [];
  const foreignMacs = new Set<string>();
  const settled = new Set<string>();
  if (actual.deviceIndex === null) return { add, remove, foreignMacs };
  for (const entry of actual.neighbors) {
    const at =
      entry.address === null ? null : parsePrefixWithHost(`${entry.address}/${network.family === 4 ? 32 : 128}`);
    if (entry.linkIndex !== actual.deviceIndex || at === null) continue;
    const key = formatAddress(at);
    const permanent = (entry.state & NEIGHBOR_STATE.permanent) !== 0;
    const mac = wanted.get(key);
    if (mac !== undefined) {
      if (permanent && entry.mac === mac && entry.protocol === RIPSTOP_ROUTE_PROTOCOL) settled.add(key);
      continue;
    }
    if (!permanent) continue;
    const unnamed = entry.protocol === null || entry.protocol === 0;
    if (prefixCovers(network, at) && (unnamed || entry.protocol === RIPSTOP_ROUTE_PROTOCOL)) {
      remove.push({ verb: "delete", object: "neighbor", linkIndex: entry.linkIndex, address: key });
    } else if (entry.mac !== null) {
      foreignMacs.add(entry.mac);
    }
  }
  for (const [address, mac] of wanted) {
    if (settled.has(address)) continue;
    const linkIndex = actual.deviceIndex;
    const state = NEIGHBOR_STATE.permanent;
    add.push({ verb: "replace", object: "neighbor", linkIndex, address, mac, state, protocol: RIPSTOP_ROUTE_PROTOCOL });
  }
  return { add, remove, foreignMacs };
}

function diffFdb(wanted: ReadonlyMap<string, string>, foreignMacs: ReadonlySet<string>, actual: ActualState) {
  const add: NetlinkRequest[] = [];
  const remove: NetlinkRequest[] = [];
  const settled = new Set<string>();
  if (actual.deviceIndex === null) return { add, remove };
  for (const entry of actual.fdb) {
    if (entry.linkIndex !== actual.deviceIndex || entry.mac === null) continue;
    const permanent = (entry.state & NEIGHBOR_STATE.permanent) !== 0;
    const remote = wanted.get(entry.mac);
    if (remote !== undefined) {
      if (permanent && entry.address === remote) settled.add(entry.mac);
    } else if (permanent && isUnicastMac(entry.mac as Mac) && !foreignMacs.has(entry.mac)) {
      const { linkIndex, mac, address } = entry;
      remove.push({ verb: "delete", object: "fdb", linkIndex, mac, address, flags: NEIGHBOR_FLAG.self });
    }
  }
  for (const [mac, address] of wanted) {
    if (settled.has(mac)) continue;
    const linkIndex = actual.deviceIndex;
    const state = NEIGHBOR_STATE.permanent;
    add.push({ verb: "replace", object: "fdb", linkIndex, mac, address, state, flags: NEIGHBOR_FLAG.self });
  }
  return { add, remove };
}

function diffRoutes(network: Prefix, wanted: ReadonlyMap<string, WantedRoute>, actual: ActualState) {
  const add: NetlinkRequest[] = [];
  const remove: NetlinkRequest[] = [];
  const conflicts: HostFailure[] = [];
  const settled = new Set<string>();
  for (const route of actual.routes) {
    const destination = parsePrefix(route.destination);
    if (route.table !== MAIN_TABLE || destination === null || !prefixCovers(network, destination)) continue;
    const key = formatPrefix(destination);
    const ours = route.protocol === RIPSTOP_ROUTE_PROTOCOL && route.type === ROUTE_TYPE.unicast;
    const boot = route.protocol === ROUTE_PROTOCOL.boot && route.type === ROUTE_TYPE.unicast;
    const want = hasDefaultPriority(route) ? wanted.get(key) : undefined;
    if (want !== undefined) {
      if (ours && sameRoute(route, want)) {
        settled.add(key);
      } else if (!ours && !boot) {
        settled.add(key);
        conflicts.push(conflictOf(key, route));
      }
    } else if (ours || (boot && actual.deviceIndex !== null && route.linkIndex === actual.deviceIndex)) {
      const { gateway, linkIndex, priority, protocol } = route;
      remove.push({ verb: "delete", object: "route", destination: key, gateway, linkIndex, priority, protocol });
    }
  }
  for (const [destination, { gateway, linkIndex, onlink, scope }] of wanted) {
    if (settled.has(destination)) continue;
    const protocol = RIPSTOP_ROUTE_PROTOCOL;
    add.push({ verb: "replace", object: "route", destination, gateway, linkIndex, onlink, protocol, scope });
  }
  return { add, remove, conflicts };
}

function sameRoute(route: NetlinkRoute, want: WantedRoute): boolean {
  // IPv6 routes have no scope of their own.
  const sameScope = route.destination.includes(":") || route.scope === want.scope;
  return (
    sameScope && route.gateway === want.gateway && route.linkIndex === want.linkIndex && route.onlink === want.onlink
  );
}

function hasDefaultPriority(route: NetlinkRoute): boolean {
  return (route.priority ?? 0) === (route.destination.includes(":") ? IPV6_DEFAULT_PRIORITY : 0);
}

function conflictOf(prefix: string, route: NetlinkRoute): HostFailure {
  const what = route.type === ROUTE_TYPE.unicast ? "a route" : "a non-forwarding route";
  return {
    object: `route ${prefix}`,
    errno: EEXIST,
    message: `${what} of protocol ${route.protocol} holds this prefix; remove it to let the peer's traffic through`,
  };
}
