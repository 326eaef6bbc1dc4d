// The Host over rtnetlink. Owned by the agent; one per network namespace. Every verb reads what is there, compares and
// changes only what differs, so calling it again costs a dump and changes nothing.
import type { Prefix } from "../addr/address.js";
import { formatPrefix, parsePrefix, parsePrefixWithHost } from "../addr/prefix.js";
import { RipstopError } from "../lib/errors.js";
import { type Clock, systemClock } from "../lib/clock.js";
import {
  type Host,
  type HostChange,
  type HostEvent,
  type HostFailure,
  type HostRoute,
  type Link,
  type LinkAddress,
  type PeerChange,
  type PeerEntry,
  type PeerScope,
  type ReconcileReport,
  type ResolvedHop,
  RIPSTOP_ROUTE_PROTOCOL,
  type TunnelSpec,
  type UnderlayAddress,
  type VxlanSpec,
} from "./host.js";
import { hostEvents } from "./host-events.js";
import type { Netlink } from "./netlink.js";
import { ADDRESS_FLAG, type NetlinkLink, type NetlinkRequest, ROUTE_TYPE, SCOPE } from "./netlink-objects.js";
import { releaseNeighbors, resolveNextHops } from "./next-hop.js";
import { OwnScopes } from "./own-scopes.js";
import { diffPeers } from "./peer-diff.js";
import { formatUnderlay, parseLinkMac, parseUnderlay } from "./text.js";
import { type EnsuredDevice, ensureTunnelDevice, ensureVxlanDevice } from "./tunnel-device.js";
import { changeWanted, wantedPeers } from "./wanted-peers.js";

const MAIN_TABLE = 254;
/** Answers to a deletion that mean: it was gone already. */
const GONE = new Set(["ENOENT", "ESRCH", "ENODEV", "EADDRNOTAVAIL"]);

/** Every route of a bridge or a pod goes before it, also one of the same prefix. */
const BLACKHOLE_METRIC = 1_000_000_000;

export class NetlinkHost implements Host {
  readonly #netlink: Netlink;
  readonly #clock: Clock;
  readonly #own = new OwnScopes();

  /** Takes ownership of `netlink`: close() closes it. */
  constructor(netlink: Netlink, clock: Clock = systemClock) {
    this.#netlink = netlink;
    this.#clock = clock;
  }

  async links(): Promise<readonly Link[]> {
    return (await this.#netlink.dump("link")).map(toLink);
  }

  async addresses(): Promise<readonly LinkAddress[]> {
    const found: LinkAddress[] = [];
    for (const { linkIndex, prefix, local, scope, flags } of await this.#netlink.dump("address")) {
      const own = parsePrefixWithHost(local === null ? prefix : `${local}/${prefix.split("/")[1] ?? "32"}`);
      if (own === null) continue;
      found.push({
        linkIndex,
        prefix: own,
        scope: scope === SCOPE.link ? "link" : scope === SCOPE.host ? "host" : "global",
        flags: {
          deprecated: (flags & ADDRESS_FLAG.deprecated) !== 0,
          permanent: (flags & ADDRESS_FLAG.permanent) !== 0,
          temporary: own.family === 6 && (flags & ADDRESS_FLAG.temporary) !== 0,
        },
      });
    }
    return found;
  }

  async routes(): Promise<readonly HostRoute[]> {
    const found: HostRoute[] = [];
    for (const route of await this.#netlink.dump("route", { table: MAIN_TABLE })) {
      const destination = parsePrefix(route.destination);
      if (destination === null || route.type !== ROUTE_TYPE.unicast) continue;
      const hops = route.nextHops.length > 0 ? route.nextHops : [route];
      for (const { gateway, linkIndex } of hops) {
        if (linkIndex === null) continue;
        found.push({ destination, gateway: parseUnderlay(gateway), linkIndex, protocol: route.protocol });
      }
    }
    return found;
  }

  async lookUpRoute(address: UnderlayAddress) {
    const route = await this.#netlink.route({ address: formatUnderlay(address) });
    if (route === null || route.linkIndex === null) return null;
    return { linkIndex: route.linkIndex, gateway: parseUnderlay(route.gateway) };
  }

  ensureVxlan(spec: VxlanSpec) {
    return ensureVxlanDevice(this.#netlink, spec).then(withLink);
  }

  ensureTunnel(spec: TunnelSpec) {
    return ensureTunnelDevice(this.#netlink, spec).then(withLink);
  }

  async reconcilePeers(scope: PeerScope, entries: readonly PeerEntry[]): Promise<ReconcileReport> {
    const { family } = scope.network;
    const links = await this.#netlink.dump("link");
    const linkIndexOf = new Map(links.map((link) => [link.name, link.index]));
    const deviceIndex = scope.device === null ? null : (linkIndexOf.get(scope.device) ?? null);
    if (scope.device !== null && deviceIndex === null) throw missingDevice(scope.device);
    const { wanted, conflicts } = wantedPeers(entries, deviceIndex, linkIndexOf);
    this.#own.set(scope, wanted);
    const onDevice = deviceIndex === null ? null : { linkIndex: deviceIndex };
    const neighbors = onDevice === null ? [] : await this.#netlink.dump("neighbor", { family, ...onDevice });
    const fdb = onDevice === null ? [] : await this.#netlink.dump("fdb", onDevice);
    const routes = await this.#netlink.dump("route", { family, table: MAIN_TABLE });
    const diff = diffPeers(scope.network, wanted, { neighbors, fdb, routes });
    const report = await this.#apply(diff.requests);
    return { changes: report.changes, failures: [...conflicts, ...diff.conflicts, ...report.failures] };
  }

  async changePeers({ scope, before, after }: PeerChange): Promise<ReconcileReport> {
    const all = this.#own.get(scope);
    if (all === null) {
      throw new RipstopError("PEERS_UNKNOWN", "the peers of this scope were never compared; reconcile them first", {
        op: "change peers",
      });
    }
    const linkIndexOf = new Map<string, number>();
    for (const entry of [...before, ...after]) {
      if (entry.kind === "vxlan" || linkIndexOf.has(entry.device)) continue;
      const link = await this.#netlink.link(entry.device);
      if (link !== null) linkIndexOf.set(entry.device, link.index);
    }
    const old = wantedPeers(before, all.deviceIndex, linkIndexOf);
    const { wanted, conflicts } = wantedPeers(after, all.deviceIndex, linkIndexOf);
    const report = await this.#apply(changeWanted(all, old.wanted, wanted));
    return { changes: report.changes, failures: [...conflicts, ...report.failures] };
  }

  async reconcileBlackhole(prefix: Prefix, wanted: boolean): Promise<readonly HostChange[]> {
    const destination = formatPrefix(prefix);
    const routes = await this.#netlink.dump("route", { family: prefix.family, table: MAIN_TABLE });
    const there = routes.filter((route) => route.type === ROUTE_TYPE.blackhole && route.destination === destination);
    const own = there.find((route) => route.protocol === RIPSTOP_ROUTE_PROTOCOL);
    const type = ROUTE_TYPE.blackhole;
    const protocol = RIPSTOP_ROUTE_PROTOCOL;
    const object = `blackhole route ${destination}`;
    if (wanted && there.length === 0) {
      const priority = BLACKHOLE_METRIC;
      await this.#netlink.applyOne({ verb: "add", object: "route", destination, type, protocol, priority });
      return [{ object, action: "add" }];
    }
    if (wanted || own === undefined) return [];
    const { priority } = own;
    await this.#netlink.applyOne({ verb: "delete", object: "route", destination, type, protocol, priority });
    return [{ object, action: "delete" }];
  }

  async deleteLink(name: string): Promise<void> {
    const link = await this.#netlink.link(name);
    if (link === null) return;
    const { failures } = await this.#apply([{ verb: "delete", object: "link", index: link.index }]);
    const [failure] = failures;
    if (failure === undefined) return;
    throw new RipstopError("LINK_FAILED", `cannot remove ${name}: ${failure.message}`, {
      op: `link delete ${name}`,
      errno: failure.errno,
    });
  }

  async raiseLinks(names: readonly string[], fell: (link: Link) => boolean): Promise<readonly string[]> {
    const raised: string[] = [];
    for (const name of names) {
      const link = await this.#netlink.link(name);
      if (link === null || !fell(toLink(link)) || link.up) continue;
      const [outcome] = await this.#netlink.apply([{ verb: "change", object: "link", index: link.index, up: true }]);
      if (outcome === undefined || outcome.ok) {
        raised.push(name);
      } else if (!GONE.has(outcome.code)) {
        const { errno, message, code } = outcome;
        throw new RipstopError("LINK_FAILED", `cannot set ${name} up: ${message} (${code})`, { op: "link up", errno });
      }
    }
    return raised;
  }

  resolveNextHops(
    addresses: readonly UnderlayAddress[],
    signal: AbortSignal,
  ): Promise<readonly (ResolvedHop | null)[]> {
    return resolveNextHops(this.#netlink, addresses, this.#clock, signal);
  }

  releaseNeighbors(unwanted: (address: string) => boolean): Promise<void> {
    return releaseNeighbors(this.#netlink, unwanted);
  }

  events(signal: AbortSignal): AsyncIterable<readonly HostEvent[]> {
    return hostEvents(this.#netlink, this.#own, signal);
  }

  close(): void {
    this.#netlink.close();
  }

  async #apply(requests: readonly NetlinkRequest[]): Promise<ReconcileReport> {
    const changes: HostChange[] = [];
    const failures: HostFailure[] = [];
    const outcomes = await this.#netlink.apply(requests);
    for (const [i, outcome] of outcomes.entries()) {
      const request = requests[i];
      if (request === undefined) continue;
      const object = describe(request);
      if (outcome.ok || (request.verb === "delete" && GONE.has(outcome.code))) {
        const action = request.verb === "change" ? "replace" : request.verb;
        changes.push({ object, action });
      } else {
        failures.push({ object, errno: outcome.errno, message: `${outcome.message} (${outcome.code})` });
      }
    }
    return { changes, failures };
  }
}

function describe(request: NetlinkRequest): string {
  switch (request.object) {
    case "route":
      return `route ${request.destination}`;
    case "neighbor":
      return `neighbor ${request.address}`;
    case "fdb":
      return `fdb ${request.mac}`;
    case "address":
      return `address ${request.prefix}`;
    case "link":
      return `link ${request.name ?? request.index ?? ""}`;
    case "rule":
      return `rule ${request.priority ?? ""}`;
  }
}

function missingDevice(device: string): RipstopError {
  return new RipstopError("LINK_MISSING", `${device} does not exist; it must be made before its peers`, {
    op: "reconcile peers",
  });
}

function toLink({ index, name, kind, mac, mtu, up, carrier }: NetlinkLink): Link {
  return { index, name, kind, mac: parseLinkMac(mac), mtu, up, carrier };
}

function withLink({ link, changes }: EnsuredDevice) {
  return { link: toLink(link), changes };
}
