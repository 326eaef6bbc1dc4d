// One lease record as a file: `10.1.2.0-24@7` is version 7 of that key. A version is written once and never changed; the
// highest one counts. A name without a version is a reservation written by hand. Pure; lease-directory.ts does the I/O.
import { decodeLeaseAttrs, decodeSubnetKey, encodeLeaseAttrs } from "../../lease/codec.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";

export interface VersionedName {
  readonly key: string;
  readonly version: bigint;
}

/** Where "now" is, for records of this boot and of an earlier one. */
export interface RecordTime {
  readonly bootId: string;
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export type FileRecord =
  | { readonly kind: "lease"; readonly lease: Lease }
  /** Deleted: the name stays, so that versions never start again and a stale writer cannot win. */
  | { readonly kind: "deleted" }
  | { readonly kind: "garbage"; readonly reason: string };

const NAME = /^([^.@][^@]*?)(?:@([1-9]\d{0,17}))?$/;
const DELETED = '{"Deleted":true}';

/** Null for temporary and foreign files. */
export function parseRecordName(name: string): VersionedName | null {
  const match = NAME.exec(name);
  return match === null ? null : { key: match[1] ?? "", version: BigInt(match[2] ?? 0) };
}

export function recordName(key: string, version: bigint): string {
  return version === 0n ? key : `${key}@${version}`;
}

export function encodeDeleted(): string {
  return `${DELETED}\n`;
}

/** flannel's JSON plus what a directory does not know by itself: when the record was created and when it runs out. */
export function encodeRecord(attrs: LeaseAttrs, created: bigint, ttlSeconds: number | null, now: RecordTime): string {
  const ttlMs = (ttlSeconds ?? 0) * 1000;
  const expiry = { Boot: now.bootId, MonotonicMs: now.monotonicMs + ttlMs, WallMs: now.wallMs + ttlMs };
  const extra = JSON.stringify({ Created: String(created), ...(ttlSeconds === null ? {} : { Expiry: expiry }) });
  return `${encodeLeaseAttrs(attrs).slice(0, -1)},${extra.slice(1)}\n`;
}

export function decodeRecord(name: VersionedName, text: string, now: RecordTime): FileRecord {
  if (text.trim() === DELETED) return { kind: "deleted" };
  const subnets = decodeSubnetKey(name.key);
  if (!subnets.ok) return { kind: "garbage", reason: subnets.reason };
  const attrs = decodeLeaseAttrs(text);
  if (!attrs.ok) return { kind: "garbage", reason: attrs.reason };
  const extra = JSON.parse(text) as { Created?: unknown; Expiry?: unknown };
  const expiresAt = decodeExpiry(extra.Expiry, now);
  if (expiresAt === undefined) return { kind: "garbage", reason: `Expiry is ${JSON.stringify(extra.Expiry)}` };
  const created = typeof extra.Created === "string" && /^\d{1,20}$/.test(extra.Created) ? BigInt(extra.Created) : 0n;
  return {
    kind: "lease",
    lease: {
      key: name.key,
      ...subnets.value,
      attrs: attrs.value,
      expiresAt,
      createRevision: created,
      modRevision: name.version,
    },
  };
}

/** The monotonic clock decides within one boot; after a reboot only the wall clock knows how long the record has left. */
function decodeExpiry(value: unknown, now: RecordTime): number | null | undefined {
  if (value === undefined || value === null) return null;
  const { Boot: boot, MonotonicMs: monotonicMs, WallMs: wallMs } = value as Record<string, unknown>;
  if (typeof monotonicMs !== "number" || typeof wallMs !== "number") return undefined;
  return boot === now.bootId ? monotonicMs : now.monotonicMs + (wallMs - now.wallMs);
}
