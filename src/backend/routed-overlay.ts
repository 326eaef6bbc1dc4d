// The Overlay of every backend that programs the kernel with routes to peers. What differs between them is a Wiring: the
// devices, the entries each peer needs, and what a lease must say. Stateless but for the peers' numbers.
import { peerChanges } from "../dataplane/peer-changes.js";
import type { LocalEndpoint, Peer, PeerTable } from "../dataplane/peer-table.js";
import type { HostChange, HostFailure, PeerEntry, PeerScope, ReconcileReport, UnderlayAddress } from "../host/host.js";
import { formatUnderlay } from "../host/text.js";
import type { Lease } from "../lease/lease.js";
import type { Mac, Prefix } from "../addr/address.js";
import type { NetworkConfig } from "../config/network-config.js";
import type { BackendContext, DesiredPeers, Look, Overlay, PeerHop } from "./backend.js";
import { directTest, underlayRoutes } from "./direct-routes.js";
import { type DirectTest, PeerBuilder } from "./peer-builder.js";
import type { OwnIdentity, VtepMacReader } from "./peers.js";

interface Seen {
  readonly local: LocalEndpoint;
  readonly isDirect: DirectTest;
  readonly routesOver: ReadonlySet<number> | null;
}

export interface ScopedEntries {
  readonly scope: PeerScope;
  readonly entries: readonly PeerEntry[];
}

/** What has to be there before the entries of peers that go by an alias, and longer than those. */
export interface Readdressing {
  /** `compare`: as it may have been changed by others. */
  prepare(peers: readonly Peer[], compare: boolean): Promise<ReconcileReport>;
  finish(peers: readonly Peer[]): Promise<ReconcileReport>;
}

export interface Wiring {
  readonly mtu: number;
  readonly devices: readonly string[];
  readonly tunnel: Overlay["tunnel"];
  readonly dataplane: Overlay["dataplane"];
  /** Which leases are peers: of this type; null: all. */
  readonly leaseType: string | null;
  readonly readVtepMac: VtepMacReader | null;
  readonly vtepMac: Mac | null;
  /** MTU of the overlay device for the data plane. */
  readonly overlayMtu: number;
  /** Which peers get a plain route: all, none, or those on our own segment. */
  readonly direct: "all" | "none" | "same-segment";
  /** Creates and corrects our devices for the lease. */
  ensureDevices(own: Lease): Promise<readonly HostChange[]>;
  /** Everything the kernel needs for these peers, by scope; always the same scopes in the same order. */
  entriesOf(peers: readonly Peer[]): readonly ScopedEntries[];
  /** Of backends with VTEPs. */
  readonly readdressing?: Readdressing;
}

export class RoutedOverlay implements Overlay {
  readonly mtu: number;
  readonly devices: readonly string[];
  readonly tunnel: Overlay["tunnel"];
  readonly dataplane: Overlay["dataplane"];
  readonly own: Lease;
  readonly #context: BackendContext;
  readonly #wiring: Wiring;
  readonly #builder: PeerBuilder;
  /** What the host looked like at the last pass that looked. */
  #seen: Seen | null = null;

  private constructor(context: BackendContext, own: Lease, wiring: Wiring) {
    this.#context = context;
    this.#wiring = wiring;
    this.own = own;
    this.mtu = wiring.mtu;
    this.devices = wiring.devices;
    this.tunnel = wiring.tunnel;
    this.dataplane = wiring.dataplane;
    const { leaseType, readVtepMac } = wiring;
    const rules = { leaseType, readVtepMac, networks: networksOf(context.network) };
    this.#builder = new PeerBuilder(this.#identity(), rules);
  }

  static async attach(context: BackendContext, own: Lease, wiring: Wiring): Promise<RoutedOverlay> {
    await wiring.ensureDevices(own);
    return new RoutedOverlay(context, own, wiring);
  }

  get routesOver(): ReadonlySet<number> | null {
    return this.#seen?.routesOver ?? null;
  }

  async peers(leases: ReadonlyMap<string, Lease>, version: bigint, look: Look = "afresh"): Promise<DesiredPeers> {
    if (look === "afresh" || this.#seen === null) this.#seen = await this.#look();
    const { local, isDirect } = this.#seen;
    const { peers, refused, contested } = this.#builder.build(leases, isDirect);
    return { table: { version, local, peers }, refused, contested };
  }

  async reconcile(table: PeerTable, since: PeerTable | null = null): Promise<ReconcileReport> {
    const { readdressing } = this.#wiring;
    const before = await readdressing?.prepare(table.peers, since === null);
    const entries = await (since === null ? this.#compare(table.peers) : this.#follow(since.peers, table.peers));
    const after = await readdressing?.finish(table.peers);
    return together([before, entries, after].filter((report) => report !== undefined));
  }

  async nextHops(peers: readonly Peer[], signal: AbortSignal): Promise<ReadonlyMap<number, PeerHop>> {
    const addresses = peers.map(({ underlay }) => underlay);
    const hops = await this.#context.host.resolveNextHops(addresses, signal);
    const found = new Map<number, PeerHop>();
    for (const [i, { id, underlay }] of peers.entries()) {
      const hop = hops[i] ?? null;
      if (hop === null) continue;
      const { device, mac, mtu, gateway } = hop;
      found.set(id, { device, mac, pathMtu: mtu, neighbor: formatUnderlay(gateway ?? underlay) });
    }
    return found;
  }

  async #compare(peers: readonly Peer[]): Promise<ReconcileReport> {
    const changes: HostChange[] = [...(await this.#wiring.ensureDevices(this.own))];
    const failures: HostFailure[] = [];
    for (const { scope, entries } of this.#wiring.entriesOf(peers)) {
      const report = await this.#context.host.reconcilePeers(scope, entries);
      changes.push(...report.changes);
      failures.push(...report.failures);
    }
    return { changes, failures };
  }

  /** A peer that changed is another object. */
  async #follow(old: readonly Peer[], now: readonly Peer[]): Promise<ReconcileReport> {
    const { gone, come } = peerChanges(old, now);
    const before = this.#wiring.entriesOf(gone);
    const after = this.#wiring.entriesOf(come);
    const changes: HostChange[] = [];
    const failures: HostFailure[] = [];
    for (const [i, { scope, entries }] of after.entries()) {
      const gone = before[i]?.entries ?? [];
      if (gone.length === 0 && entries.length === 0) continue;
      const report = await this.#context.host.changePeers({ scope, before: gone, after: entries });
      changes.push(...report.changes);
      failures.push(...report.failures);
    }
    return { changes, failures };
  }

  async #look(): Promise<Seen> {
    const { host, network } = this.#context;
    const { direct } = this.#wiring;
    const local = await this.#local();
    if (direct !== "same-segment") return { local, isDirect: () => direct === "all", routesOver: null };
    const routes = underlayRoutes(await host.routes(), networksOf(network));
    return { local, isDirect: directTest(routes), routesOver: new Set(routes.map(({ linkIndex }) => linkIndex)) };
  }

  #identity(): OwnIdentity {
    const { external } = this.#context;
    const v4 = [external.publicIp, external.ipv4].filter((address) => address !== null);
    const v6 = [external.publicIpv6, external.ipv6].filter((address) => address !== null);
    const underlay: UnderlayAddress[] = [
      ...v4.map((address) => ({ family: 4, address }) as const),
      ...v6.map((address) => ({ family: 6, address }) as const),
    ];
    return { leaseKey: this.own.key, prefixes: this.#prefixes(), underlay, vtepMac: this.#wiring.vtepMac };
  }

  async #local(): Promise<LocalEndpoint> {
    const { external, host } = this.#context;
    const link = (await host.links()).find(({ name }) => name === external.name);
    return {
      prefixes: this.#prefixes(),
      underlayV4: external.ipv4,
      underlayV6: external.ipv6,
      underlayMac: link?.mac ?? null,
      vtepMac: this.#wiring.vtepMac,
      overlayMtu: this.#wiring.overlayMtu,
    };
  }

  #prefixes() {
    return [this.own.subnet, this.own.ipv6Subnet].filter((prefix) => prefix !== null);
  }
}

function together(reports: readonly ReconcileReport[]): ReconcileReport {
  return {
    changes: reports.flatMap(({ changes }) => changes),
    failures: reports.flatMap(({ failures }) => failures),
  };
}

function networksOf({ network, ipv6Network }: NetworkConfig): readonly Prefix[] {
  return [network, ipv6Network].filter((one) => one !== null);
}
