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
import { RIPSTOP_ROUTE_PROTOCOL, type HostFailure } from "./host.js";
import {
  NEIGHBOR_FLAG,
  NEIGHBOR_STATE,
  type NetlinkFdbEntry,
  type NetlinkNeighbor,
  type NetlinkRequest,
  type NetlinkRoute,
  ROUTE_PROTOCOL,
  ROUTE_TYPE,
} from "./netlink-objects.js";
import {
  fdbRequest,
  isWantedRoute,
  mustGoFirst,
  neighborRequest,
  routeRequest,
  type WantedPeers,
} from "./wanted-peers.js";

const MAIN_TABLE = 254;
const EEXIST = 17;
/** What the kernel gives IPv6 routes that name no metric. */
const IPV6_DEFAULT_PRIORITY = 1024;

export interface ActualState {
  readonly neighbors: readonly NetlinkNeighbor[];
  readonly fdb: readonly NetlinkFdbEntry[];
  readonly routes: readonly NetlinkRoute[];
}

export interface PeerDiff {
  /** In the order to apply them: FDB, neighbor, route for what is added; route, neighbor, FDB for what goes. */
  readonly requests: readonly NetlinkRequest[];
  readonly conflicts: readonly HostFailure[];
}

export function diffPeers(network: Prefix, wanted: WantedPeers, actual: ActualState): PeerDiff {
  const forNeighbors = diffNeighbors(network, wanted, actual);
  const forFdb = diffFdb(wanted, forNeighbors.foreignMacs, actual);
  const forRoutes = diffRoutes(network, wanted, actual);
  const requests = [
    ...forFdb.add,
    ...forNeighbors.add,
    ...forRoutes.add,
    ...forRoutes.remove,
    ...forNeighbors.remove,
    ...forFdb.remove,
  ];
  return { requests, conflicts: forRoutes.conflicts };
}

function diffNeighbors(network: Prefix, { deviceIndex, neighbors: wanted }: WantedPeers, actual: ActualState) {
  const add: NetlinkRequest[] = [];
  const remove: NetlinkRequest[] = [];
  const foreignMacs = new Set<string>();
  const settled = new Set<string>();
  if (deviceIndex === null) return { add, remove, foreignMacs };
  for (const entry of actual.neighbors) {
    const at =
      entry.address === null ? null : parsePrefixWithHost(`${entry.address}/${network.family === 4 ? 32 : 128}`);
    if (entry.linkIndex !== deviceIndex || at === null) continue;
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
    if (!settled.has(address)) add.push(neighborRequest("replace", deviceIndex, address, mac));
  }
  return { add, remove, foreignMacs };
}

function diffFdb({ deviceIndex, fdb: wanted }: WantedPeers, foreignMacs: ReadonlySet<string>, actual: ActualState) {
  const add: NetlinkRequest[] = [];
  const remove: NetlinkRequest[] = [];
  const settled = new Set<string>();
  if (deviceIndex === null) return { add, remove };
  for (const entry of actual.fdb) {
    if (entry.linkIndex !== deviceIndex || entry.mac === null) continue;
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
    if (!settled.has(mac)) add.push(fdbRequest("replace", deviceIndex, mac, address));
  }
  return { add, remove };
}

function diffRoutes(network: Prefix, { deviceIndex, routes: wanted }: WantedPeers, actual: ActualState) {
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
      if (ours && isWantedRoute(route, want)) {
        settled.add(key);
      } else if (!ours && !boot) {
        settled.add(key);
        conflicts.push(conflictOf(key, route));
      } else if (mustGoFirst(key, { linkIndex: route.linkIndex ?? 0 }, want)) {
        add.push(deletion(key, route));
      }
    } else if (ours || (boot && deviceIndex !== null && route.linkIndex === deviceIndex)) {
      remove.push(deletion(key, route));
    }
  }
  for (const [destination, route] of wanted) {
    if (!settled.has(destination)) add.push(routeRequest("replace", destination, route));
  }
  return { add, remove, conflicts };
}

function deletion(destination: string, { gateway, linkIndex, priority, protocol }: NetlinkRoute): NetlinkRequest {
  return { verb: "delete", object: "route", destination, gateway, linkIndex, priority, protocol };
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
