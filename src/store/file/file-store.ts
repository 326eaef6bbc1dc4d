// Leases in a directory: the store for one machine, labs and tests. `config` holds the network configuration, `subnets/`
// the records. Agents in different processes share it; changes are seen by inotify and, should that fail, by looking.
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeSubnetKey } from "../../lease/codec.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";
import { type Clock, systemClock } from "../../lib/clock.js";
import { RipstopError } from "../../lib/errors.js";
import type { CreateOutcome, LeaseSnapshot, Store, StoreHealth, Subnets } from "../store.js";
import { LeaseDirectory, type StoredRecord } from "./lease-directory.js";
import { encodeDeleted, encodeRecord, type RecordTime } from "./record.js";

export interface FileStoreOptions {
  readonly directory: string;
  readonly clock?: Clock;
  /** How often the directory is read when nothing tells of a change. */
  readonly pollMs?: number;
}

const POLL_MS = 5_000;

export class FileStore implements Store {
  readonly kind = "file";
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #bootId: string;
  readonly #leases: LeaseDirectory;
  readonly #closing = new AbortController();
  #lastSyncMs: number | null = null;
  #failure: string | null = null;

  constructor(options: FileStoreOptions) {
    this.#directory = options.directory;
    this.#clock = options.clock ?? systemClock;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#bootId = readBootId();
    this.#leases = new LeaseDirectory(join(options.directory, "subnets"), () => this.#now());
  }

  async readNetworkConfig(signal: AbortSignal): Promise<string> {
    const path = join(this.#directory, "config");
    try {
      return await readFile(path, { encoding: "utf8", signal });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        throw new RipstopError(
          "STORE_NO_CONFIG",
          `there is no network configuration at ${path}; write one there, such as {"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}`,
          { cause: error },
        );
      }
      throw this.#unavailable(error);
    }
  }

  async *watchNetworkConfig(signal: AbortSignal): AsyncGenerator<string, void, void> {
    let last: string | null = null;
    for await (const _ of this.#changes(this.#directory, signal, () => Number.POSITIVE_INFINITY)) {
      const text = await this.readNetworkConfig(signal).catch(() => null);
      if (text === null || text === last) continue;
      last = text;
      yield text;
    }
  }

  async listLeases(_signal: AbortSignal): Promise<LeaseSnapshot> {
    try {
      // A store that is gone is not an empty one.
      await stat(this.#directory);
      const snapshot = this.#snapshot((await this.#leases.list()).values());
      this.#lastSyncMs = this.#clock.nowMs();
      this.#failure = null;
      return snapshot;
    } catch (error) {
      this.#failure = (error as Error).message;
      throw this.#unavailable(error);
    }
  }

  async *watchLeases(signal: AbortSignal): AsyncGenerator<LeaseSnapshot, void, void> {
    let last: LeaseSnapshot | null = null;
    for await (const _ of this.#changes(this.#leases.path, signal, () => nextExpiry(last))) {
      const snapshot = await this.listLeases(signal).catch(() => null);
      if (snapshot === null || (last !== null && sameSnapshot(last, snapshot))) continue;
      last = snapshot;
      yield snapshot;
    }
  }

  async createLease(
    subnets: Subnets,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    _signal: AbortSignal,
  ): Promise<CreateOutcome> {
    const key = encodeSubnetKey(subnets);
    const current = await this.#find(key);
    if (current !== null && !this.#isFree(current)) return { created: false, holder: leaseOf(current) };
    // Age decides between claims that overlap, so it must not depend on which of them is read first.
    const created = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
    return await this.#write(key, (current?.version ?? 0n) + 1n, attrs, created, ttlSeconds);
  }

  async renewLease(
    held: Lease,
    attrs: LeaseAttrs,
    ttlSeconds: number | null,
    _signal: AbortSignal,
  ): Promise<CreateOutcome> {
    const current = await this.#find(held.key);
    const holder = leaseOf(current);
    if (current === null || holder === null || current.version !== held.modRevision) return { created: false, holder };
    return await this.#write(held.key, held.modRevision + 1n, attrs, held.createRevision, ttlSeconds);
  }

  async deleteLease(held: Lease, _signal: AbortSignal): Promise<void> {
    const current = await this.#find(held.key);
    if (current === null || current.record.kind === "deleted" || current.version !== held.modRevision) return;
    await this.#attempt(() => this.#leases.append(held.key, held.modRevision + 1n, encodeDeleted()));
  }

  health(): StoreHealth {
    const age = this.#lastSyncMs === null ? null : this.#clock.nowMs() - this.#lastSyncMs;
    return {
      connected: this.#failure === null && this.#lastSyncMs !== null,
      lastSyncAgeMs: age,
      detail: this.#failure ?? this.#directory,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #write(
    key: string,
    version: bigint,
    attrs: LeaseAttrs,
    created: bigint,
    ttlSeconds: number | null,
  ): Promise<CreateOutcome> {
    const text = encodeRecord(attrs, created, ttlSeconds, this.#now());
    const won = await this.#attempt(() => this.#leases.append(key, version, text));
    const lease = leaseOf(await this.#find(key));
    if (won && lease?.modRevision === version) return { created: true, lease };
    return { created: false, holder: lease };
  }

  async #find(key: string): Promise<StoredRecord | null> {
    return await this.#attempt(() => this.#leases.find(key));
  }

  async #attempt<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  #snapshot(records: Iterable<StoredRecord>): LeaseSnapshot {
    const leases = new Map<string, Lease>();
    const quarantined: { key: string; reason: string }[] = [];
    for (const stored of records) {
      if (stored.record.kind === "garbage") quarantined.push({ key: stored.key, reason: stored.record.reason });
      if (stored.record.kind === "lease" && !this.#isFree(stored)) leases.set(stored.key, stored.record.lease);
    }
    return { leases, quarantined };
  }

  #isFree({ record }: StoredRecord): boolean {
    if (record.kind === "deleted") return true;
    return record.kind === "lease" && record.lease.expiresAt !== null && record.lease.expiresAt <= this.#clock.nowMs();
  }

  /** Yields at once and whenever `directory` may have changed, the poll interval passed, or a record ran out. */
  async *#changes(
    directory: string,
    callerSignal: AbortSignal,
    wakeAt: () => number,
  ): AsyncGenerator<void, void, void> {
    const signal = AbortSignal.any([callerSignal, this.#closing.signal]);
    while (!signal.aborted) {
      // A new watch each time, set before reading: nothing is missed, also when the directory itself was replaced.
      const round = new AbortController();
      // The parent first: it tells when a missing directory is created.
      const watchers = [dirname(directory), directory].map((path) => watchDirectory(path, () => round.abort()));
      try {
        yield;
        const waitMs = Math.min(this.#pollMs, Math.max(0, wakeAt() - this.#clock.nowMs()));
        await this.#clock.sleep(waitMs, AbortSignal.any([signal, round.signal]));
      } finally {
        for (const watcher of watchers) watcher?.close();
      }
    }
  }

  #now(): RecordTime {
    return { bootId: this.#bootId, monotonicMs: this.#clock.nowMs(), wallMs: Date.now() };
  }

  #unavailable(error: unknown): RipstopError {
    return new RipstopError(
      "STORE_UNAVAILABLE",
      `the file store ${this.#directory} cannot be used (${(error as Error).message}); make the directory exist and writable, or choose another with -store-dir`,
      { cause: error },
    );
  }
}

/** Creates what is missing and opens the store. */
export async function openFileStore(options: FileStoreOptions): Promise<FileStore> {
  try {
    await mkdir(join(options.directory, "subnets"), { recursive: true });
  } catch (error) {
    throw new RipstopError(
      "STORE_UNAVAILABLE",
      `cannot create the file store ${options.directory} (${(error as Error).message}); choose another place with -store-dir`,
      { cause: error },
    );
  }
  return new FileStore(options);
}

/** Null when the kernel grants no watch or the directory is missing: then polling has to do. */
function watchDirectory(directory: string, onChange: () => void): FSWatcher | null {
  try {
    const watcher = watch(directory, { persistent: false }, onChange);
    watcher.on("error", onChange);
    return watcher;
  } catch {
    return null;
  }
}

function leaseOf(stored: StoredRecord | null): Lease | null {
  return stored?.record.kind === "lease" ? stored.record.lease : null;
}

function nextExpiry(snapshot: LeaseSnapshot | null): number {
  let next = Number.POSITIVE_INFINITY;
  for (const lease of snapshot?.leases.values() ?? [])
    if (lease.expiresAt !== null) next = Math.min(next, lease.expiresAt);
  return next;
}

/** Records are decoded once per version, so equal snapshots share their leases. */
function sameSnapshot(a: LeaseSnapshot, b: LeaseSnapshot): boolean {
  if (a.leases.size !== b.leases.size || a.quarantined.length !== b.quarantined.length) return false;
  for (const [key, lease] of a.leases) if (b.leases.get(key)?.modRevision !== lease.modRevision) return false;
  return a.quarantined.every(
    (entry, index) => entry.key === b.quarantined[index]?.key && entry.reason === b.quarantined[index]?.reason,
  );
}

function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
