// What the control plane may ask of the Linux host. One real implementation over rtnetlink (netlink-host.ts), one fake for
// tests that prints its state (test/support). Every verb is idempotent and level-triggered: it is given the desired
// state of the objects we own and returns what it changed. Foreign objects are never touched.
import type { Ipv4, Ipv6, Mac, Prefix } from "../addr/address.js";

/** Own routes carry this protocol number (rtm_protocol), so that only they are ever removed. */
export const RIPSTOP_ROUTE_PROTOCOL = 158;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly kind: string; // "", "veth", "vxlan", "bridge", ...
  readonly mac: Mac | null;
  readonly mtu: number;
  readonly up: boolean;
  readonly carrier: boolean;
}

export interface LinkAddress {
  readonly linkIndex: number;
  /** Host bits kept. */
  readonly prefix: Prefix;
  readonly scope: "global" | "link" | "host";
  readonly flags: { readonly deprecated: boolean; readonly permanent: boolean; readonly temporary: boolean };
}

export interface VxlanSpec {
  readonly name: string;
  readonly vni: number;
  /** 0: the kernel's default, 8472. */
  readonly port: number;
  readonly underlayDevice: string;
  readonly local: { readonly family: 4; readonly address: Ipv4 } | { readonly family: 6; readonly address: Ipv6 };
  readonly mac: Mac;
  readonly mtu: number;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** The subnet base as /32 or /128. */
  readonly address: Prefix;
  /** Other addresses inside this prefix are removed from the device, as flannel does. */
  readonly network: Prefix;
}

/** Everything a peer needs in the kernel: the neighbour, the FDB entry, the route; or only a direct route. */
export type PeerEntry =
  | { readonly kind: "vxlan"; readonly prefix: Prefix; readonly vtepMac: Mac; readonly remote: VxlanSpec["local"] }
  | { readonly kind: "direct"; readonly prefix: Prefix; readonly via: VxlanSpec["local"]; readonly device: string };

export interface HostChange {
  readonly object: string; // "route 10.244.2.0/24", "fdb 02:..", ...
  readonly action: "add" | "replace" | "delete";
}

export interface Host {
  links(): Promise<readonly Link[]>;
  addresses(): Promise<readonly LinkAddress[]>;
  /** Creates, corrects or re-creates the device; returns it as it is now. */
  ensureVxlan(spec: VxlanSpec): Promise<{ readonly link: Link; readonly changes: readonly HostChange[] }>;
  /** Makes routes, neighbours and FDB entries of `device` exactly these (own ones only). */
  reconcilePeers(device: string, entries: readonly PeerEntry[]): Promise<readonly HostChange[]>;
  deleteLink(name: string): Promise<void>;
  /** Next hop towards an underlay address, resolving the neighbour if needed; null when unreachable. */
  resolveNextHop(address: VxlanSpec["local"]): Promise<{
    readonly device: string;
    readonly gateway: VxlanSpec["local"] | null;
    readonly mac: Mac | null;
    readonly mtu: number;
  } | null>;
  /** One item per relevant kernel event, coalesced; `overrun` means: compare everything. */
  events(signal: AbortSignal): AsyncIterable<{ readonly kind: "link" | "address" | "route" | "neighbor" | "overrun" }>;
  close(): void;
}
