// Leases in etcd, under flannel's keys and in flannel's JSON, so that both kinds of node read each other. Every write is a
// compare-and-write; when an answer was lost, the record itself says whether the write happened.
import type { EtcdOptions } from "../../config/options.js";
import { encodeLeaseAttrs, encodeSubnetKey } from "../../lease/codec.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";
import { type Clock, systemClock } from "../../lib/clock.js";
import { RipstopError } from "../../lib/errors.js";
import { SharedMap } from "../../lib/shared-map.js";
import type { CreateOutcome, LeaseSnapshot, Store, StoreHealth, Subnets } from "../store.js";
import { EtcdConnection } from "./connection.js";
import { LeaseRecords, NO_LEASE } from "./lease-records.js";
import { Mirrored } from "./mirrored.js";
import type { EtcdRecord, EtcdTransport } from "./transport.js";

export interface EtcdStoreOptions {
  readonly transport: EtcdTransport;
  /** flannel's -etcd-prefix. */
  readonly prefix: string;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export class EtcdStore implements Store {
  readonly kind = "etcd";
  readonly #transport: EtcdTransport;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #leases: Mirrored<LeaseSnapshot>;
  readonly #config: Mirrored<string | null>;
  /** What the mirror shows. */
  readonly #records: LeaseRecords;

  constructor(options: EtcdStoreOptions) {
    this.#transport = options.transport;
    this.#prefix = options.prefix.replace(/\/+$/, "");
    this.#clock = options.clock ?? systemClock;
    const shared = { transport: options.transport, clock: this.#clock, random: options.random ?? Math.random };
    this.#records = new LeaseRecords(`${this.#prefix}/subnets/`);
    this.#leases = new Mirrored(
      { ...shared, prefix: `${this.#prefix}/subnets/` },
      (records) => this.#records.show(records),
      this.#closing.signal,
    );
    this.#config = new Mirrored(
      { ...shared, prefix: this.#configKey() },
      (records) => records.get(this.#configKey())?.value ?? null,
      this.#closing.signal,
    );
  }

  async readNetworkConfig(signal: AbortSignal): Promise<string> {
    const { records } = await this.#transport.list(this.#configKey(), signal);
    const [record] = records;
    if (record !== undefined) return record.value;
    throw new RipstopError(
      "STORE_NO_CONFIG",
      `flannel config not found in etcd store: ${this.#configKey()} does not exist; put one there with the v3 API: ETCDCTL_API=3 etcdctl put ${this.#configKey()} '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'`,
    );
  }

  async *watchNetworkConfig(signal: AbortSignal): AsyncGenerator<string, void, void> {
    // A deleted configuration is a slip, not an order: the last one goes on.
    for await (const text of this.#config.follow(signal)) if (text !== null) yield text;
  }

  async listLeases(signal: AbortSignal): Promise<LeaseSnapshot> {
    const prefix = `${this.#prefix}/subnets/`;
    const { records } = await this.#transport.list(prefix, signal);
    return new LeaseRecords(prefix).show(SharedMap.of(records.map((record) => [record.key, record])));
  }

  watchLeases(signal: AbortSignal): AsyncIterable<LeaseSnapshot> {
    return this.#leases.follow(signal);
  }

  async createLease(
    subnets: Subnets,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    signal: AbortSignal,
  ): Promise<CreateOutcome> {
    return await this.#write(
      `${this.#prefix}/subnets/${encodeSubnetKey(subnets)}`,
      0n,
      null,
      attrs,
      ttlSeconds,
      signal,
    );
  }

  async renewLease(
    held: Lease,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    signal: AbortSignal,
  ): Promise<CreateOutcome> {
    return await this.#write(held.key, held.modRevision, held.createRevision, attrs, ttlSeconds, signal);
  }

  async deleteLease(held: Lease, signal: AbortSignal): Promise<void> {
    await this.#transport.swap({ key: held.key, expected: held.modRevision, write: null }, signal);
  }

  health(): StoreHealth {
    const { connected, lastListAtMs, failure, repairs, resyncs } = this.#leases.state;
    const age = lastListAtMs === null ? null : this.#clock.nowMs() - lastListAtMs;
    const detail =
      failure || `${this.#transport.describe()}${repairs > 0 ? `, ${repairs} differences found by full lists` : ""}`;
    return { connected, lastSyncAgeMs: age, resyncs, detail };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#leases.ended, this.#config.ended]);
    await this.#transport.close();
  }

  async #write(
    key: string,
    expected: bigint,
    created: bigint | null,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    signal: AbortSignal,
  ): Promise<CreateOutcome> {
    const startMs = this.#clock.nowMs();
    const grant = ttlSeconds === null ? null : await this.#transport.grant(ttlSeconds, signal);
    const leaseId = grant?.leaseId ?? NO_LEASE;
    const value = encodeLeaseAttrs(attrs);
    const expiresAt = grant === null ? null : startMs + grant.ttlSeconds * 1000;
    const outcome = await this.#transport
      .swap({ key, expected, write: { value, leaseId } }, signal)
      .catch(async (error: unknown) => {
        const current = await this.#find(key, signal);
        const ours =
          current !== null && current.modRevision > expected && current.value === value && current.leaseId === leaseId;
        if (!ours) throw error;
        return { succeeded: true, revision: current.modRevision, current };
      });
    if (outcome.succeeded) {
      const record = {
        key,
        value,
        createRevision: created ?? outcome.revision,
        modRevision: outcome.revision,
        leaseId,
      };
      const lease = this.#records.decode(record);
      if (typeof lease === "string")
        throw new RipstopError(
          "STORE_RECORD_INVALID",
          `our own record ${key} cannot be read back (${lease}); this is a bug, report it`,
        );
      return { created: true, lease: { ...lease, expiresAt } };
    }
    // The grant holds nothing; left alone it would run out by itself.
    if (grant !== null) await this.#transport.revoke(grant.leaseId, signal).catch(() => undefined);
    const holder = outcome.current === null ? null : this.#records.decode(outcome.current);
    return { created: false, holder: typeof holder === "string" ? null : holder };
  }

  async #find(key: string, signal: AbortSignal): Promise<EtcdRecord | null> {
    return (await this.#transport.list(key, signal)).records[0] ?? null;
  }

  #configKey(): string {
    return `${this.#prefix}/config`;
  }
}

/** Rejects when an option can never work; an etcd that is away is no reason. */
export function openEtcdStore(options: EtcdOptions): EtcdStore {
  return new EtcdStore({ transport: new EtcdConnection(options), prefix: options.prefix });
}
