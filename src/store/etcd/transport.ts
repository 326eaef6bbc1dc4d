// What the etcd store needs of etcd: five calls. One implementation over the etcd3 package (connection.ts); tests have one
// whose failures they choose. A transport never retries a mutation: whether it happened is for the caller to find out.

export interface EtcdRecord {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  /** "0": no lease, the record stays for ever. */
  readonly leaseId: string;
}

export type EtcdEvent =
  | { readonly kind: "put"; readonly record: EtcdRecord }
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: bigint };

export interface EtcdListing {
  readonly revision: bigint;
  readonly records: readonly EtcdRecord[];
}

/** A compare-and-write of one key. `expected` is the revision of the last write we saw; 0n: the key does not exist. */
export interface EtcdSwap {
  readonly key: string;
  readonly expected: bigint;
  /** Null deletes. */
  readonly write: { readonly value: string; readonly leaseId: string } | null;
}

export interface EtcdSwapOutcome {
  readonly succeeded: boolean;
  readonly revision: bigint;
  /** What is there now, where the compare failed. */
  readonly current: EtcdRecord | null;
}

export interface EtcdTransport {
  /** Everything under a prefix at one revision, in pages; or one key, when it does not end with a slash. */
  list(prefix: string, signal: AbortSignal): Promise<EtcdListing>;
  /**
   * Events from `fromRevision` on. Resolves or rejects when the stream is over for whatever reason: end, error, compaction,
   * no leader, abort. `onEvents` is called synchronously and must not throw.
   */
  watch(
    prefix: string,
    fromRevision: bigint,
    onEvents: (events: readonly EtcdEvent[]) => void,
    signal: AbortSignal,
  ): Promise<void>;
  swap(swap: EtcdSwap, signal: AbortSignal): Promise<EtcdSwapOutcome>;
  /** Seconds granted may exceed those asked for. */
  grant(ttlSeconds: number, signal: AbortSignal): Promise<{ readonly leaseId: string; readonly ttlSeconds: number }>;
  revoke(leaseId: string, signal: AbortSignal): Promise<void>;
  /** Where requests go, for status. */
  describe(): string;
  close(): Promise<void>;
}
