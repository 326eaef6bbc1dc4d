// etcd's records as leases, under flannel's keys and in flannel's JSON. Remembers what the last records gave, so that showing them
// again after a change costs what the change costs. Owned by the etcd store.
import { decodeLeaseAttrs, decodeSubnetKey } from "../../lease/codec.js";
import type { Lease } from "../../lease/lease.js";
import { changesBetween, type MapChange, SharedMap } from "../../lib/shared-map.js";
import type { LeaseSnapshot } from "../store.js";
import type { EtcdRecord } from "./transport.js";

/** The lease id of a record without one. */
export const NO_LEASE = "0";

export class LeaseRecords {
  readonly #prefix: string;
  #records = SharedMap.of<EtcdRecord>();
  #reasons = SharedMap.of<string>();
  #snapshot: LeaseSnapshot & { readonly leases: SharedMap<Lease> } = { leases: SharedMap.of(), quarantined: [] };

  /** What stands before the subnets in the keys, with a slash at its end. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  show(records: SharedMap<EtcdRecord>): LeaseSnapshot {
    const leases: MapChange<Lease>[] = [];
    const reasons: MapChange<string>[] = [];
    for (const [key, , record] of changesBetween(this.#records, records)) {
      const decoded = record === undefined ? undefined : this.decode(record);
      leases.push([key, typeof decoded === "string" ? undefined : decoded]);
      reasons.push([key, typeof decoded === "string" ? decoded : undefined]);
    }
    const before = this.#reasons;
    this.#records = records;
    this.#reasons = before.with(reasons);
    this.#snapshot = {
      leases: this.#snapshot.leases.with(leases),
      quarantined:
        this.#reasons === before
          ? this.#snapshot.quarantined
          : [...this.#reasons].map(([key, reason]) => ({ key, reason })),
    };
    return this.#snapshot;
  }

  /** The lease, or why the record is none. */
  decode(record: EtcdRecord): Lease | string {
    const subnets = decodeSubnetKey(record.key.slice(this.#prefix.length));
    if (!subnets.ok) return subnets.reason;
    const attrs = decodeLeaseAttrs(record.value);
    if (!attrs.ok) return attrs.reason;
    const expiresAt = record.leaseId === NO_LEASE ? null : Number.POSITIVE_INFINITY;
    return {
      key: record.key,
      ...subnets.value,
      attrs: attrs.value,
      expiresAt,
      createRevision: record.createRevision,
      modRevision: record.modRevision,
    };
  }
}
