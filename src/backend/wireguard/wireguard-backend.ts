// wireguard: the kernel's WireGuard device(s), one route for the whole overlay into each, and peers by `wg`, which is
// told only what differs. The device is kept over restarts: traffic does not stop. Needs the kernel module and wireguard-tools.
import { parseWireguardOptions, type WireguardOptions } from "../../config/backend-options.js";
import type { Prefix } from "../../addr/address.js";
import type { PeerTable } from "../../dataplane/peer-table.js";
import { type CommandRunner, runCommand } from "../../host/command.js";
import type { HostChange, PeerEntry, ReconcileReport } from "../../host/host.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";
import { RipstopError } from "../../lib/errors.js";
import type { Backend, BackendContext, DesiredPeers, Look, Overlay, PeerHop, RefusedPeer } from "../backend.js";
import { RoutedOverlay, type Wiring } from "../routed-overlay.js";
import { PLAIN } from "../simple-backend.js";
import { configureDevice } from "./configure-device.js";
import { KeyOwners } from "./key-owners.js";
import { readOrMakeKey, type WireguardKey, wireguardKeyFile } from "./wireguard-key.js";
import { chooseEndpoint, readWireguardData, type WireguardPeer } from "./wireguard-peers.js";

const TYPE = "wireguard";
const OVERHEAD = 80;
const MTU_MIN = 1280;

/** One device and the overlay networks it carries. */
interface Tunnel {
  readonly device: string;
  readonly listenPort: number;
  readonly networks: readonly Prefix[];
  /** How peers are reached: by mode over the one device, or by the device's own family. */
  readonly mode: WireguardOptions["mode"];
}

/** Throws NETWORK_CONFIG_INVALID or MTU_TOO_SMALL. */
export function makeWireguardBackend(context: BackendContext, run: CommandRunner = runCommand): Backend {
  const options = parseWireguardOptions(context.network.backend);
  const base = options.mtu === 0 ? context.external.mtu : options.mtu;
  if (base - OVERHEAD < MTU_MIN) {
    throw new RipstopError(
      "MTU_TOO_SMALL",
      `an underlay MTU of ${base} is too small for wireguard (at least ${MTU_MIN + OVERHEAD}); raise it`,
    );
  }
  return new WireguardBackend({ context, options, mtu: base - OVERHEAD, tunnels: tunnelsOf(context, options), run });
}

interface Parts {
  readonly context: BackendContext;
  readonly options: WireguardOptions;
  readonly mtu: number;
  readonly tunnels: readonly Tunnel[];
  readonly run: CommandRunner;
}

class WireguardBackend implements Backend {
  readonly type = TYPE;
  readonly carriable = false;
  readonly #parts: Parts;
  #key: WireguardKey | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async leaseAttrs(_previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    const { context, tunnels } = this.#parts;
    const { publicKey } = await this.#ownKey();
    const { publicIp, publicIpv6 } = context.external;
    // The port under which each family really listens; flannel gets the second wrong when there is one device.
    const portOf = (family: 4 | 6): number | undefined =>
      tunnels.find(({ networks }) => networks.some((network) => network.family === family))?.listenPort;
    const v4 = portOf(4);
    const v6 = portOf(6);
    return {
      publicIp,
      publicIpv6,
      backendType: TYPE,
      ...(v4 === undefined ? {} : { backendData: { PublicKey: publicKey, Port: v4 } }),
      ...(v6 === undefined ? {} : { backendV6Data: { PublicKey: publicKey, Port: v6 } }),
    };
  }

  async attach(own: Lease): Promise<Overlay> {
    const { context } = this.#parts;
    const key = await this.#ownKey();
    const inner = await RoutedOverlay.attach(context, own, wiringOf(this.#parts));
    return new WireguardOverlay(inner, this.#parts, key);
  }

  async #ownKey(): Promise<WireguardKey> {
    this.#key ??= await readOrMakeKey(wireguardKeyFile());
    return this.#key;
  }
}

class WireguardOverlay implements Overlay {
  readonly mtu: number;
  readonly devices: readonly string[];
  readonly tunnel = null;
  readonly dataplane = null;
  readonly routesOver = null;
  readonly own: Lease;
  readonly #inner: RoutedOverlay;
  readonly #parts: Parts;
  readonly #key: WireguardKey;
  readonly #owners: KeyOwners;
  #leases: ReadonlyMap<string, Lease> = new Map();

  constructor(inner: RoutedOverlay, parts: Parts, key: WireguardKey) {
    this.#inner = inner;
    this.#parts = parts;
    this.#key = key;
    this.#owners = new KeyOwners({ leaseKey: inner.own.key, publicKey: key.publicKey });
    this.mtu = inner.mtu;
    this.devices = inner.devices;
    this.own = inner.own;
  }

  async peers(leases: ReadonlyMap<string, Lease>, version: bigint, look?: Look): Promise<DesiredPeers> {
    this.#leases = leases;
    const desired = await this.#inner.peers(leases, version, look);
    const refused: RefusedPeer[] = [...desired.refused];
    const claims = desired.table.peers.flatMap((peer) => {
      const { leaseKey, prefix } = peer;
      const lease = leases.get(leaseKey);
      const read = readWireguardData(prefix.family === 4 ? lease?.attrs.backendData : lease?.attrs.backendV6Data);
      if ("reason" in read) refused.push({ key: leaseKey, reason: read.reason });
      return "reason" in read
        ? []
        : [{ peer, leaseKey, publicKey: read.publicKey, createRevision: lease?.createRevision ?? 0n }];
    });
    const owners = this.#owners.settle(claims);
    const good = claims.filter(({ leaseKey, publicKey }) => {
      const owner = owners.get(publicKey);
      if (owner !== leaseKey) refused.push({ key: leaseKey, reason: `its public key is that of ${owner}` });
      return owner === leaseKey;
    });
    return { table: { ...desired.table, peers: good.map(({ peer }) => peer) }, refused };
  }

  async reconcile(table: PeerTable, since?: PeerTable | null): Promise<ReconcileReport> {
    const report = await this.#inner.reconcile(table, since);
    for (const tunnel of this.#parts.tunnels) {
      const { run, options } = this.#parts;
      const { device, listenPort } = tunnel;
      await configureDevice(run, device, { key: this.#key, listenPort, options, peers: this.#peersOf(tunnel, table) });
    }
    return report;
  }

  async nextHops(): Promise<ReadonlyMap<number, PeerHop>> {
    return new Map();
  }

  /** One WireGuard peer per node and device, whatever the number of its subnets. */
  #peersOf(tunnel: Tunnel, table: PeerTable): WireguardPeer[] {
    const peers = new Map<string, WireguardPeer>();
    for (const { leaseKey, prefix } of table.peers) {
      if (!tunnel.networks.some(({ family }) => family === prefix.family)) continue;
      const attrs = this.#leases.get(leaseKey)?.attrs;
      if (attrs === undefined) continue;
      const endpoint = chooseEndpoint(tunnel.mode, this.own.attrs, attrs);
      const data = readWireguardData(endpoint?.family === 6 ? attrs.backendV6Data : attrs.backendData);
      if (endpoint === null || "reason" in data) continue;
      const { publicKey, port } = data;
      const allowed = [...(peers.get(leaseKey)?.allowed ?? []), prefix];
      peers.set(leaseKey, { leaseKey, publicKey, endpoint, port: port ?? tunnel.listenPort, allowed });
    }
    return [...peers.values()];
  }
}

function wiringOf({ context, mtu, tunnels }: Parts): Wiring {
  const { host } = context;
  return {
    ...PLAIN,
    mtu,
    overlayMtu: mtu,
    devices: tunnels.map(({ device }) => device),
    leaseType: TYPE,
    ensureDevices: async (own) => {
      const changes: HostChange[] = [];
      for (const { device: name, networks } of tunnels) {
        for (const network of networks) {
          const subnet = network.family === 4 ? own.subnet : own.ipv6Subnet;
          if (subnet === null) continue;
          const address = { ...subnet, length: network.family === 4 ? 32 : 128 };
          const spec = { name, kind: "wireguard", local: null, mtu, address, network } as const;
          changes.push(...(await host.ensureTunnel(spec)).changes);
        }
      }
      return changes;
    },
    entriesOf: () =>
      tunnels.flatMap(({ device, networks }) =>
        networks.map((network) => {
          const route: PeerEntry = { kind: "device", prefix: network, device, scope: "link" };
          return { scope: { device, network }, entries: [route] };
        }),
      ),
  };
}

function tunnelsOf({ network: config }: BackendContext, options: WireguardOptions): Tunnel[] {
  const { mode, listenPort, listenPortV6 } = options;
  const networks = [config.network, config.ipv6Network].filter((one) => one !== null);
  if (mode !== "separate") return [{ device: "flannel-wg", listenPort, networks, mode }];
  return networks.map((network) =>
    network.family === 4
      ? { device: "flannel-wg", listenPort, networks: [network], mode: "ipv4" }
      : { device: "flannel-wg-v6", listenPort: listenPortV6, networks: [network], mode: "ipv6" },
  );
}
