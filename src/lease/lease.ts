// A lease: which node holds which subnet, and how to reach it. flannel's nouns and JSON names. Pure.
import type { Ipv4, Ipv6, Prefix4, Prefix6 } from "../addr/address.js";

/** What a node publishes about itself beside its subnet (flannel's LeaseAttrs). */
export interface LeaseAttrs {
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
  /** "" for udp, alloc and tencent-vpc, as flannel writes it. */
  readonly backendType: string;
  /** Parsed JSON, backend specific: `{ VNI, VtepMAC }` for vxlan. Untrusted until the backend has checked it. */
  readonly backendData?: unknown;
  readonly backendV6Data?: unknown;
}

export interface Lease {
  /** Stable identity of the record in its store (etcd key, node name, file name). */
  readonly key: string;
  readonly subnet: Prefix4 | null;
  readonly ipv6Subnet: Prefix6 | null;
  readonly attrs: LeaseAttrs;
  /**
   * Milliseconds on the monotonic clock when it runs out; null: never (a reservation, or a store without expiry).
   * Infinity: the store lets it expire but was not asked when; asking for every peer would cost one request each.
   */
  readonly expiresAt: number | null;
  /** Order of creation among the records of one store: of two claims to the same addresses the lower one wins. */
  readonly createRevision: bigint;
  /** Changes with every write of the record; renewing compares it, so nobody overwrites what he has not seen. */
  readonly modRevision: bigint;
}
