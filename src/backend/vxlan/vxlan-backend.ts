// vxlan: a kernel VXLAN device per family (flannel.<VNI>, flannel-v6.<VNI>) and, per peer, a neighbor, an FDB entry and an
// onlink route, exactly as flannel makes them. The data plane, when it runs, takes the packets at that device.
import type { Mac, Prefix } from "../../addr/address.js";
import { parseVxlanOptions, type VxlanOptions } from "../../config/backend-options.js";
import type { Peer } from "../../dataplane/peer-table.js";
import { type CommandRunner, runCommand } from "../../host/command.js";
import type { HostChange, PeerEntry, UnderlayAddress, VxlanSpec } from "../../host/host.js";
import { VXLAN_DEFAULT_PORT } from "../../host/tunnel-device.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";
import { RipstopError } from "../../lib/errors.js";
import type { Backend, BackendContext, Overlay, Tunnel } from "../backend.js";
import { RoutedOverlay, type ScopedEntries, type Wiring } from "../routed-overlay.js";
import { readVtepMac, vxlanBackendData } from "./backend-data.js";
import { VtepReaddressing } from "./readdressing.js";
import { chooseVtepMac, writeVtepMac } from "./vtep-mac.js";

/** Outer headers: Ethernet 14 is the inner frame's, then IP, UDP 8 and VXLAN 8. */
const OVERHEAD_V4 = 50;
const OVERHEAD_V6 = 70;
/** The smallest MTU IPv4 works with, and IPv6. */
const MTU_MIN_V4 = 68;
const MTU_MIN_V6 = 1280;

/** One family's device, as far as it does not depend on the lease. */
interface Plane {
  readonly device: string;
  readonly family: 4 | 6;
  readonly network: Prefix;
  readonly local: UnderlayAddress;
  readonly mtu: number;
}

/** Throws NETWORK_CONFIG_INVALID or MTU_TOO_SMALL. */
export function makeVxlanBackend(context: BackendContext, run: CommandRunner = runCommand): Backend {
  const options = parseVxlanOptions(context.network.backend);
  return new VxlanBackend(context, options, planesOf(context, options), run);
}

class VxlanBackend implements Backend {
  readonly type = "vxlan";
  readonly carriable: boolean;
  readonly #context: BackendContext;
  readonly #options: VxlanOptions;
  readonly #planes: readonly Plane[];
  readonly #run: CommandRunner;
  #mac: Mac | null = null;

  constructor(context: BackendContext, options: VxlanOptions, planes: readonly Plane[], run: CommandRunner) {
    this.#context = context;
    this.#options = options;
    this.#planes = planes;
    this.#run = run;
    this.carriable = !options.gbp;
  }

  async leaseAttrs(previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    const { publicIp, publicIpv6 } = this.#context.external;
    this.#mac ??= await this.#chooseMac(previous);
    const data = vxlanBackendData(this.#options.vni, this.#mac);
    return {
      publicIp,
      publicIpv6,
      backendType: "vxlan",
      ...(this.#planes.some(({ family }) => family === 4) ? { backendData: data } : {}),
      ...(this.#planes.some(({ family }) => family === 6) ? { backendV6Data: data } : {}),
    };
  }

  async attach(own: Lease): Promise<Overlay> {
    const { stateDir, log } = this.#context;
    this.#mac ??= await this.#chooseMac(own.attrs);
    await writeVtepMac(stateDir, this.#stateName(), this.#mac, log);
    const readdressing = new VtepReaddressing(this.#run, this.#options.vni, portOf(this.#options));
    const wiring = new VxlanWiring(this.#context, this.#options, this.#planes, this.#mac, readdressing);
    return RoutedOverlay.attach(this.#context, own, wiring);
  }

  async #chooseMac(previous: LeaseAttrs | null): Promise<Mac> {
    const { host, stateDir } = this.#context;
    const device = this.#stateName();
    const link = (await host.links()).find(({ name, kind }) => name === device && kind === "vxlan");
    const said = previous?.backendType === "vxlan" ? readVtepMac(previous.backendData ?? previous.backendV6Data) : null;
    return chooseVtepMac(stateDir, device, [link?.mac ?? null, typeof said === "string" ? said : null]);
  }

  #stateName(): string {
    return this.#planes[0]?.device ?? "flannel";
  }
}

class VxlanWiring implements Wiring {
  readonly leaseType = "vxlan";
  readonly readVtepMac = readVtepMac;
  readonly vtepMac: Mac;
  readonly mtu: number;
  readonly overlayMtu: number;
  readonly devices: readonly string[];
  readonly tunnel: Tunnel;
  readonly dataplane: Overlay["dataplane"];
  readonly direct: Wiring["direct"];
  readonly readdressing: VtepReaddressing;
  readonly #context: BackendContext;
  readonly #options: VxlanOptions;
  readonly #planes: readonly Plane[];

  constructor(
    context: BackendContext,
    options: VxlanOptions,
    planes: readonly Plane[],
    mac: Mac,
    readdressing: VtepReaddressing,
  ) {
    this.readdressing = readdressing;
    this.#context = context;
    this.#options = options;
    this.#planes = planes;
    this.vtepMac = mac;
    // subnet.env says what flannel says: 50 less, whatever the family.
    this.mtu = underlayMtu(context, options) - OVERHEAD_V4;
    this.overlayMtu = planes[0]?.mtu ?? this.mtu;
    this.devices = planes.map(({ device }) => device);
    this.direct = options.directRouting ? "same-segment" : "none";
    this.tunnel = {
      encapsulation: "vxlan",
      vni: options.vni,
      port: portOf(options),
      overlayDevice: this.devices[0] ?? "",
      overlayDeviceV6: this.devices[1] ?? "",
    };
    // GBP puts each packet's mark into the VXLAN header, which only the kernel can see.
    this.dataplane = options.gbp ? null : { ...this.tunnel, underlayDevice: context.external.name, checksumV4: false };
  }

  async ensureDevices(own: Lease): Promise<readonly HostChange[]> {
    const { host, external } = this.#context;
    const { vni, port, learning, gbp } = this.#options;
    const changes: HostChange[] = [];
    for (const { device: name, family, local, mtu, network } of this.#planes) {
      const subnet = family === 4 ? own.subnet : own.ipv6Subnet;
      if (subnet === null) continue;
      const address = { ...subnet, length: family === 4 ? 32 : 128 };
      const common = { name, vni, port, learning, gbp, local, mtu, network, address, mac: this.vtepMac };
      const spec: VxlanSpec = { ...common, underlayDevice: external.name };
      changes.push(...(await host.ensureVxlan(spec)).changes);
    }
    return changes;
  }

  entriesOf(peers: readonly Peer[]): readonly ScopedEntries[] {
    const underlay = this.#context.external.name;
    return this.#planes.map(({ device, family, network }) => ({
      scope: { device, network },
      entries: peers
        .filter((peer) => peer.prefix.family === family)
        .flatMap((peer): PeerEntry[] => {
          const { prefix, alias, underlay: remote } = peer;
          const vtepMac = alias ?? peer.vtepMac;
          if (peer.direct) return [{ kind: "direct", prefix, via: remote, device: underlay }];
          return vtepMac === null ? [] : [{ kind: "vxlan", prefix, vtepMac, remote }];
        }),
    }));
  }
}

function portOf({ port }: VxlanOptions): number {
  return port === 0 ? VXLAN_DEFAULT_PORT : port;
}

function planesOf(context: BackendContext, options: VxlanOptions): Plane[] {
  const { network: config, external } = context;
  const base = underlayMtu(context, options);
  const planes: Plane[] = [];
  if (config.network !== null && external.ipv4 !== null) {
    const mtu = atLeast(base - OVERHEAD_V4, MTU_MIN_V4, base);
    const local = { family: 4, address: external.ipv4 } as const;
    planes.push({ device: `flannel.${options.vni}`, family: 4, network: config.network, local, mtu });
  }
  if (config.ipv6Network !== null && external.ipv6 !== null) {
    const mtu = atLeast(base - OVERHEAD_V6, MTU_MIN_V6, base);
    const local = { family: 6, address: external.ipv6 } as const;
    planes.push({ device: `flannel-v6.${options.vni}`, family: 6, network: config.ipv6Network, local, mtu });
  }
  return planes;
}

/** Never more than the interface has: the kernel gives its device no more, and pods would believe us (the doctor tells). */
function underlayMtu({ external }: BackendContext, options: VxlanOptions): number {
  return options.mtu === 0 ? external.mtu : Math.min(options.mtu, external.mtu);
}

function atLeast(mtu: number, min: number, base: number): number {
  if (mtu >= min) return mtu;
  throw new RipstopError(
    "MTU_TOO_SMALL",
    `an underlay MTU of ${base} leaves ${mtu} bytes for the overlay and at least ${min} are needed; raise Backend.MTU or the interface's MTU`,
    { op: "vxlan" },
  );
}
