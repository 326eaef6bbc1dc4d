// A store in memory: several nodes of one test share it, and nothing is left behind. Keeps every promise of the Store interface
// (compare before writing, complete snapshots, coalesced), so that code which works on it works on etcd; `fail()` makes the
// store go away for a while. Owner: a test.
import { encodeSubnetKey } from "../lease/codec.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { type Clock, systemClock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { Latest } from "../lib/latest.js";
import type { CreateOutcome, LeaseSnapshot, Store, StoreHealth, Subnets } from "../store/store.js";

export class MemoryStore implements Store {
  readonly kind = "memory";
  readonly #clock: Clock;
  readonly #config = new Latest<string>();
  readonly #snapshots = new Latest<LeaseSnapshot>();
  readonly #leases = new Map<string, Lease>();
  #revision = 0n;
  #failing: string | null = null;
  #lastSyncMs: number | null = null;

  constructor(options: { readonly networkConfig?: string | object; readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
    if (options.networkConfig !== undefined) this.setNetworkConfig(options.networkConfig);
    this.#publish();
  }

  /** What the operator writes: net-conf.json, as text or as an object. */
  setNetworkConfig(config: string | object): void {
    this.#config.set(typeof config === "string" ? config : JSON.stringify(config));
  }

  /** From now on every call is rejected with `reason`; null: works again. What was followed goes on quietly. */
  fail(reason: string | null): void {
    this.#failing = reason;
    if (reason === null) this.#publish();
  }

  /** Runs out what has expired by the clock, as a store does by itself. */
  expire(): void {
    const now = this.#clock.nowMs();
    for (const [key, lease] of this.#leases)
      if (lease.expiresAt !== null && lease.expiresAt <= now) this.#leases.delete(key);
    this.#publish();
  }

  async readNetworkConfig(_signal: AbortSignal): Promise<string> {
    this.#available();
    const config = this.#config.current;
    if (config !== undefined) return config;
    throw new RipstopError("STORE_NO_CONFIG", "the memory store has no network configuration; call setNetworkConfig()");
  }

  watchNetworkConfig(signal: AbortSignal): AsyncIterable<string> {
    return this.#config.follow(signal);
  }

  async listLeases(_signal: AbortSignal): Promise<LeaseSnapshot> {
    this.#available();
    this.#lastSyncMs = this.#clock.nowMs();
    return this.#snapshot();
  }

  watchLeases(signal: AbortSignal): AsyncIterable<LeaseSnapshot> {
    return this.#snapshots.follow(signal);
  }

  async createLease(
    subnets: Subnets,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    _signal: AbortSignal,
  ): Promise<CreateOutcome> {
    this.#available();
    const key = encodeSubnetKey(subnets);
    const holder = this.#leases.get(key);
    if (holder !== undefined) return { created: false, holder };
    return { created: true, lease: this.#write(key, subnets, attrs, ttlSeconds, this.#revision + 1n) };
  }

  async renewLease(
    held: Lease,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    _signal: AbortSignal,
  ): Promise<CreateOutcome> {
    this.#available();
    const now = this.#leases.get(held.key);
    if (now?.modRevision !== held.modRevision) return { created: false, holder: now ?? null };
    return { created: true, lease: this.#write(held.key, held, attrs, ttlSeconds, now.createRevision) };
  }

  async deleteLease(held: Lease, _signal: AbortSignal): Promise<void> {
    this.#available();
    if (this.#leases.get(held.key)?.modRevision !== held.modRevision) return;
    this.#leases.delete(held.key);
    this.#publish();
  }

  health(): StoreHealth {
    const lastSyncAgeMs = this.#lastSyncMs === null ? null : this.#clock.nowMs() - this.#lastSyncMs;
    return { connected: this.#failing === null, lastSyncAgeMs, detail: this.#failing ?? "in memory" };
  }

  async close(): Promise<void> {}

  #write(
    key: string,
    { subnet, ipv6Subnet }: Subnets,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    createRevision: bigint,
  ): Lease {
    this.#revision += 1n;
    const expiresAt = ttlSeconds === null ? null : this.#clock.nowMs() + ttlSeconds * 1000;
    const lease: Lease = { key, subnet, ipv6Subnet, attrs, expiresAt, createRevision, modRevision: this.#revision };
    this.#leases.set(key, lease);
    this.#publish();
    return lease;
  }

  #snapshot(): LeaseSnapshot {
    return { leases: new Map(this.#leases), quarantined: [] };
  }

  #publish(): void {
    if (this.#failing === null) this.#snapshots.set(this.#snapshot());
  }

  #available(): void {
    if (this.#failing === null) return;
    throw new RipstopError("STORE_UNAVAILABLE", `the memory store is failing on purpose: ${this.#failing}`);
  }
}
