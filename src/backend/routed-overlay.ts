// The Overlay of every backend that programs the kernel with routes to peers. What differs between them is a Wiring: the
// devices, the entries each peer needs, and what a lease must say. Stateless but for the peers' numbers.
import type { LocalEndpoint, NextHop, Peer, PeerTable } from "../dataplane/peer-table.js";
import type { HostChange, HostFailure, PeerEntry, PeerScope, ReconcileReport, UnderlayAddress } from "../host/host.js";
import type { Lease } from "../lease/lease.js";
import type { Mac } from "../addr/address.js";
import type { BackendContext, DesiredPeers, Overlay } from "./backend.js";
import { directTest } from "./direct-routes.js";
import { buildPeers, type OwnIdentity, PeerIds, type VtepMacReader } from "./peers.js";

/** Resolving waits for answers from the network, so many questions are open at once. */
const LOOKUPS_AT_ONCE = 64;

export interface ScopedEntries {
  readonly scope: PeerScope;
  readonly entries: readonly PeerEntry[];
}

export interface Wiring {
  readonly mtu: number;
  readonly devices: readonly string[];
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
  /** Everything the kernel needs for these peers, by scope. */
  entriesOf(peers: readonly Peer[]): readonly ScopedEntries[];
}

export class RoutedOverlay implements Overlay {
  readonly mtu: number;
  readonly devices: readonly string[];
  readonly dataplane: Overlay["dataplane"];
  readonly own: Lease;
  readonly #context: BackendContext;
  readonly #wiring: Wiring;
  readonly #ids = new PeerIds();

  private constructor(context: BackendContext, own: Lease, wiring: Wiring) {
    this.#context = context;
    this.#wiring = wiring;
    this.own = own;
    this.mtu = wiring.mtu;
    this.devices = wiring.devices;
    this.dataplane = wiring.dataplane;
  }

  static async attach(context: BackendContext, own: Lease, wiring: Wiring): Promise<RoutedOverlay> {
    await wiring.ensureDevices(own);
    return new RoutedOverlay(context, own, wiring);
  }

  async peers(leases: ReadonlyMap<string, Lease>, version: bigint): Promise<DesiredPeers> {
    const { host, network } = this.#context;
    const { leaseType, readVtepMac, direct } = this.#wiring;
    const networks = [network.network, network.ipv6Network].filter((one) => one !== null);
    const isDirect = direct === "same-segment" ? directTest(await host.routes(), networks) : () => direct === "all";
    const rules = { leaseType, networks, readVtepMac, isDirect };
    const { peers, refused } = buildPeers(leases, this.#identity(), rules, this.#ids);
    return { table: { version, local: await this.#local(), peers }, refused };
  }

  async reconcile(table: PeerTable): Promise<ReconcileReport> {
    const changes: HostChange[] = [...(await this.#wiring.ensureDevices(this.own))];
    const failures: HostFailure[] = [];
    for (const { scope, entries } of this.#wiring.entriesOf(table.peers)) {
      const report = await this.#context.host.reconcilePeers(scope, entries);
      changes.push(...report.changes);
      failures.push(...report.failures);
    }
    return { changes, failures };
  }

  async nextHops(table: PeerTable): Promise<ReadonlyMap<number, NextHop>> {
    const found = new Map<number, NextHop>();
    const waiting = [...table.peers];
    const worker = async (): Promise<void> => {
      for (let peer = waiting.pop(); peer !== undefined; peer = waiting.pop()) {
        const hop = await this.#context.host.resolveNextHop(peer.underlay);
        if (hop !== null && hop.mac !== null) found.set(peer.id, { mac: hop.mac, pathMtu: hop.mtu });
      }
    };
    await Promise.all(Array.from({ length: LOOKUPS_AT_ONCE }, worker));
    return found;
  }

  #identity(): OwnIdentity {
    const { external } = this.#context;
    const v4 = [external.publicIp, external.ipv4].filter((address) => address !== null);
    const v6 = [external.publicIpv6, external.ipv6].filter((address) => address !== null);
    const underlay: UnderlayAddress[] = [
      ...v4.map((address) => ({ family: 4, address }) as const),
      ...v6.map((address) => ({ family: 6, address }) as const),
    ];
    return { leaseKey: this.own.key, prefixes: this.#prefixes(), underlay };
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
