// The one desired state: which peers exist and how to reach them. The kernel programmer (host/) and the data plane both
// reconcile to it. Backends build it from leases; nobody else does.
import type { Ipv4, Ipv6, Mac, Prefix } from "../addr/address.js";

export interface Peer {
  /** Stable over the peer's life; names its counters. */
  readonly id: number;
  /** The lease key it came from. */
  readonly leaseKey: string;
  /** Inner prefix the peer holds; dual-stack leases give two peers. */
  readonly prefix: Prefix;
  /** The peer's public address on the underlay. */
  readonly underlay: { readonly family: 4; readonly address: Ipv4 } | { readonly family: 6; readonly address: Ipv6 };
  readonly vtepMac: Mac | null;
  /** Set when another peer claims the same VTEP MAC: what stands for this one in the kernel's tables here, and never on the wire. */
  readonly alias?: Mac;
  /** True: same L2 segment and DirectRouting is on; a plain route carries it, no encapsulation. */
  readonly direct: boolean;
}

export interface LocalEndpoint {
  readonly prefixes: readonly Prefix[];
  readonly underlayV4: Ipv4 | null;
  readonly underlayV6: Ipv6 | null;
  readonly underlayMac: Mac | null;
  readonly vtepMac: Mac | null;
  readonly overlayMtu: number;
}

export interface PeerTable {
  readonly version: bigint;
  readonly local: LocalEndpoint;
  readonly peers: readonly Peer[];
}

/** Next hop on the underlay, as netlink tells; only ports that build their own Ethernet header need it. */
export interface NextHop {
  readonly mac: Mac;
  readonly pathMtu: number;
}
