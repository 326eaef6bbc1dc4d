// Where leases live: etcd, Kubernetes, or a directory. A store knows records and time, not allocation policy
// (subnet/manager.ts) and not what a backend does with a lease.
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import type { Ipv4, Ipv6, Prefix4, Prefix6 } from "../addr/address.js";

/** The complete truth at one moment. Consumers diff; nobody patches. */
export interface LeaseSnapshot {
  readonly leases: ReadonlyMap<string, Lease>;
  /** Records that could not be read; each affects only itself. */
  readonly quarantined: ReadonlyArray<{ readonly key: string; readonly reason: string }>;
}

export interface Subnets {
  readonly subnet: Prefix4 | null;
  readonly ipv6Subnet: Prefix6 | null;
}

export type CreateOutcome =
  | { readonly created: true; readonly lease: Lease }
  /** Somebody else holds the key: read it again before deciding anything. */
  | { readonly created: false; readonly holder: Lease | null };

/** Connection state for status, readiness and logs. */
export interface StoreHealth {
  readonly connected: boolean;
  /** Milliseconds since the last complete list that succeeded; null: never. */
  readonly lastSyncAgeMs: number | null;
  /** Complete lists after the first, where a watch tells what changes between them. */
  readonly resyncs?: number;
  readonly detail: string;
}

/** How our node stands, for those who look at it from outside the node. */
export interface NodeStanding {
  readonly available: boolean;
  /** One word in camel case. */
  readonly reason: string;
  readonly message: string;
}

/** Addresses that somebody wrote for this node; null where nobody did. They act like -public-ip and -public-ipv6. */
export interface NodeAddresses {
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
  /** What somebody wrote and cannot be used, a sentence each. */
  readonly problems?: readonly string[];
}

/** What a store decides that hands out subnets itself. Our record then has the node's name, not an address, as its identity. */
export interface NodeAssignment {
  /** The key of our own record. */
  readonly key: string;
  /** Our subnets; a text says why there are none yet. */
  subnets(signal: AbortSignal): Promise<Subnets | string>;
  addresses(signal: AbortSignal): Promise<NodeAddresses>;
  /** Yields at once and after every change; ends with the signal. */
  watchAddresses(signal: AbortSignal): AsyncIterable<NodeAddresses>;
  /** Shows others how we stand; saying the same again costs nothing. */
  tell(standing: NodeStanding, signal: AbortSignal): Promise<void>;
}

export interface Store {
  /** "etcd", "kube", "file", or the name of your own. */
  readonly kind: string;
  /** Only where the store hands out subnets (Kubernetes); absent: we allocate (subnet/allocator.ts). */
  readonly assignment?: NodeAssignment;
  /** The raw net-conf text; rejects with code STORE_NO_CONFIG when there is none. */
  readNetworkConfig(signal: AbortSignal): Promise<string>;
  /** Yields the text at once and again whenever it changes; survives every store failure; ends only with the signal. */
  watchNetworkConfig(signal: AbortSignal): AsyncIterable<string>;
  listLeases(signal: AbortSignal): Promise<LeaseSnapshot>;
  /** Yields complete snapshots, coalesced, the first one at once; survives every store failure; ends only with the signal. */
  watchLeases(signal: AbortSignal): AsyncIterable<LeaseSnapshot>;
  /** Creates the record only if nobody holds it. `ttlSeconds` null: no expiry. */
  createLease(
    subnets: Subnets,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    signal: AbortSignal,
  ): Promise<CreateOutcome>;
  /** Renews or rewrites our own record, only if it is still as we last saw it (`held`); else { created: false }. */
  renewLease(held: Lease, attrs: LeaseAttrs, ttlSeconds: number | null, signal: AbortSignal): Promise<CreateOutcome>;
  /** Deletes a record that is ours, only if it is still as we last saw it. */
  deleteLease(held: Lease, signal: AbortSignal): Promise<void>;
  health(): StoreHealth;
  close(): Promise<void>;
}
