// What the control plane may ask of the Linux host. One real implementation over rtnetlink (netlink-host.ts), one fake for
// tests that prints its state (test/support). Every verb is idempotent and level-triggered: it is given the desired
// state of the objects we own and returns what it changed. Foreign objects are never touched.
import type { Ipv4, Ipv6, Mac, Prefix } from "../addr/address.js";

/** Own routes and neighbors carry this protocol number (rtm_protocol), so that only they are ever removed. */
export const RIPSTOP_ROUTE_PROTOCOL = 158;

/** An address on the underlay. */
export type UnderlayAddress =
  | { readonly family: 4; readonly address: Ipv4 }
  | { readonly family: 6; readonly address: Ipv6 };

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

/** A route of the main table with one next hop. */
export interface HostRoute {
  readonly destination: Prefix;
  readonly gateway: UnderlayAddress | null;
  readonly linkIndex: number;
  readonly protocol: number;
}

export interface VxlanSpec {
  readonly name: string;
  readonly vni: number;
  /** 0: the kernel's default, 8472. */
  readonly port: number;
  readonly underlayDevice: string;
  readonly local: UnderlayAddress;
  readonly mac: Mac;
  readonly mtu: number;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** The subnet base as /32 or /128. */
  readonly address: Prefix;
  /** Other addresses inside this prefix are removed from the device, as flannel does. */
  readonly network: Prefix;
}

/** A tunnel device without settings of its own. A "tun" is made by the data plane; here it is only brought into shape. */
export interface TunnelSpec {
  readonly name: string;
  readonly kind: "ipip" | "wireguard" | "tun";
  /** Of an ipip device. */
  readonly local: Ipv4 | null;
  readonly mtu: number;
  readonly address: Prefix;
  readonly network: Prefix;
}

/** Everything a peer needs in the kernel: neighbor, FDB entry and route; or only a route. */
export type PeerEntry =
  | {
      readonly kind: "vxlan";
      readonly prefix: Prefix;
      readonly vtepMac: Mac;
      readonly remote: UnderlayAddress;
    }
  /** Via the peer itself: no encapsulation on the underlay device, or a tunnel device with `onlink`. */
  | {
      readonly kind: "direct";
      readonly prefix: Prefix;
      readonly via: UnderlayAddress;
      readonly device: string;
      readonly onlink?: boolean;
    }
  /** Into a device that knows where to send it (udp, wireguard). */
  | {
      readonly kind: "device";
      readonly prefix: Prefix;
      readonly device: string;
      readonly scope: "global" | "link";
    };

/** Which objects one reconcilePeers() answers for. */
export interface PeerScope {
  /** Our own tunnel device; null when there is none (host-gw). */
  readonly device: string | null;
  /** Routes and neighbors outside this network are nobody's business of ours. Its family is the family of the entries. */
  readonly network: Prefix;
}

export interface HostChange {
  readonly object: string; // "route 10.244.2.0/24", "fdb 02:..", ...
  readonly action: "add" | "replace" | "delete";
}

/** One object that could not be made as wanted. The others are not affected, and the next pass tries again. */
export interface HostFailure {
  readonly object: string;
  readonly errno: number;
  readonly message: string;
}

export interface ReconcileReport {
  readonly changes: readonly HostChange[];
  readonly failures: readonly HostFailure[];
}

export interface ResolvedHop {
  readonly device: string;
  readonly gateway: UnderlayAddress | null;
  readonly mac: Mac | null;
  readonly mtu: number;
}

/** What replaces what among the entries of a scope; an entry that only goes or only comes is on one side. */
export interface PeerChange {
  readonly scope: PeerScope;
  readonly before: readonly PeerEntry[];
  readonly after: readonly PeerEntry[];
}

/** What changed in the kernel, as far as it is not what we have made ourselves. */
export type HostEvent =
  /** A link came, went, or is another than before. */
  | { readonly kind: "link"; readonly name: string; readonly index: number }
  | { readonly kind: "address"; readonly linkIndex: number }
  /** A route of the main table that is none of our peers'. */
  | { readonly kind: "route" }
  /** A rule, or a route of another table: some packets may go another way. */
  | { readonly kind: "policy" }
  /** A neighbor on a device that is none of our peers': its MAC, or null when it has none. */
  | { readonly kind: "neighbor"; readonly linkIndex: number; readonly address: string; readonly mac: Mac | null }
  /** An object of a peer is not as it shall be. */
  | { readonly kind: "peer"; readonly object: string }
  /** Events were lost: compare everything. */
  | { readonly kind: "overrun" };

export interface Host {
  links(): Promise<readonly Link[]>;
  addresses(): Promise<readonly LinkAddress[]>;
  /** The main table, both families; multipath routes appear once per next hop. */
  routes(): Promise<readonly HostRoute[]>;
  /** The device and gateway the kernel would use; null when it knows no way. */
  lookUpRoute(
    address: UnderlayAddress,
  ): Promise<{ readonly linkIndex: number; readonly gateway: UnderlayAddress | null } | null>;
  /** Creates, corrects or re-creates the device; returns it as it is now. */
  ensureVxlan(spec: VxlanSpec): Promise<{ readonly link: Link; readonly changes: readonly HostChange[] }>;
  /** As ensureVxlan(); rejects with MODULE_MISSING, or LINK_MISSING for a "tun" that nobody made yet. */
  ensureTunnel(spec: TunnelSpec): Promise<{ readonly link: Link; readonly changes: readonly HostChange[] }>;
  /** Makes routes, neighbors and FDB entries in the scope exactly these (own ones only). */
  reconcilePeers(scope: PeerScope, entries: readonly PeerEntry[]): Promise<ReconcileReport>;
  /**
   * The same for a few entries, without looking at the others: costs what changed. Nothing is taken away from others: what is in
   * the way is reported as a failure, and reconcilePeers() finds out what it is. Rejects with PEERS_UNKNOWN before that one's
   * first call for the scope.
   */
  changePeers(change: PeerChange): Promise<ReconcileReport>;
  /** A route that drops everything for `prefix` that no longer prefix claims; our own is removed when not wanted. */
  reconcileBlackhole(prefix: Prefix, wanted: boolean): Promise<readonly HostChange[]>;
  deleteLink(name: string): Promise<void>;
  /** Sets those up that are there, are down, and `fell`, which is asked about every one there is; answers with their names. */
  raiseLinks(names: readonly string[], fell: (link: Link) => boolean): Promise<readonly string[]>;
  /**
   * Next hops towards underlay addresses, in their order, resolving neighbors if needed; null when unreachable. Resolving waits
   * for answers from the network, until the signal.
   */
  resolveNextHops(addresses: readonly UnderlayAddress[], signal: AbortSignal): Promise<readonly (ResolvedHop | null)[]>;
  /** Gives back what resolveNextHops() asked the kernel to keep resolved, where it is no longer wanted. */
  releaseNeighbors(unwanted: (address: string) => boolean): Promise<void>;
  /** What others changed, as it comes, several at a time. */
  events(signal: AbortSignal): AsyncIterable<readonly HostEvent[]>;
  close(): void;
}
