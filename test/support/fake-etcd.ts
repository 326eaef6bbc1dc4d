// An etcd in memory whose failures are chosen by the test: revisions, history, compaction and watch streams behave as the
// real one's (checked against it in test/etcd), and streams and answers can be lost at any point.
import type {
  EtcdEvent,
  EtcdListing,
  EtcdRecord,
  EtcdSwap,
  EtcdSwapOutcome,
  EtcdTransport,
} from "../../src/store/etcd/transport.js";
import { RipstopError } from "../../src/lib/errors.js";

interface Stream {
  readonly prefix: string;
  next: bigint;
  readonly deliver: (events: readonly EtcdEvent[]) => void;
  readonly end: (error: Error | null) => void;
}

interface Backup {
  readonly revision: bigint;
  readonly records: ReadonlyMap<string, EtcdRecord>;
}

export class FakeEtcd implements EtcdTransport {
  readonly #records = new Map<string, EtcdRecord>();
  #history: { readonly revision: bigint; readonly event: EtcdEvent }[] = [];
  #revision = 1n;
  #compacted = 0n;
  #leases = 100n;
  readonly #streams = new Set<Stream>();
  #failures = 0;
  #lostAnswers = 0;
  #silent = false;
  /** Refuses every call and stream while true. */
  down = false;
  /** Sees every successful write through the transport, with what it replaced. */
  onSwap: (before: EtcdRecord | undefined, swap: EtcdSwap) => void = () => undefined;

  get records(): ReadonlyMap<string, EtcdRecord> {
    return this.#records;
  }

  /** What another client does. */
  put(key: string, value: string, leaseId = "7"): void {
    const before = this.#records.get(key);
    const revision = ++this.#revision;
    const record = { key, value, createRevision: before?.createRevision ?? revision, modRevision: revision, leaseId };
    this.#records.set(key, record);
    this.#emit({ revision, event: { kind: "put", record } });
  }

  delete(key: string): void {
    if (!this.#records.delete(key)) return;
    const revision = ++this.#revision;
    this.#emit({ revision, event: { kind: "delete", key, modRevision: revision } });
  }

  failNext(calls: number): void {
    this.#failures += calls;
  }

  /** The next writes happen, but their answers do not arrive. */
  loseAnswers(count: number): void {
    this.#lostAnswers += count;
  }

  dropStreams(): void {
    for (const stream of [...this.#streams]) stream.end(unavailable("the stream broke"));
  }

  /** While silent, streams stay open and tell nothing: the bugs that only a full list repairs. */
  set silent(silent: boolean) {
    this.#silent = silent;
    if (silent) return;
    for (const stream of this.#streams) stream.next = this.#revision + 1n;
  }

  compact(): void {
    this.#compacted = this.#revision;
    this.#history = [];
  }

  backup(): Backup {
    return { revision: this.#revision, records: new Map(this.#records) };
  }

  /** A server started from an old backup: revisions go back. */
  restore(backup: Backup): void {
    this.dropStreams();
    this.#records.clear();
    for (const [key, record] of backup.records) this.#records.set(key, record);
    this.#revision = backup.revision;
    this.compact();
  }

  heal(): void {
    this.down = false;
    this.#failures = 0;
    this.#lostAnswers = 0;
    this.silent = false;
  }

  async list(prefix: string, signal: AbortSignal): Promise<EtcdListing> {
    await this.#call(signal);
    const wanted = (key: string) => (prefix.endsWith("/") ? key.startsWith(prefix) : key === prefix);
    return { revision: this.#revision, records: [...this.#records.values()].filter(({ key }) => wanted(key)) };
  }

  async watch(
    prefix: string,
    fromRevision: bigint,
    onEvents: (events: readonly EtcdEvent[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#call(signal);
    await new Promise<void>((resolve, reject) => {
      const stop = () => stream.end(null);
      const stream: Stream = {
        prefix,
        next: fromRevision,
        deliver: onEvents,
        end: (error) => {
          signal.removeEventListener("abort", stop);
          this.#streams.delete(stream);
          if (error === null) resolve();
          else reject(error);
        },
      };
      this.#streams.add(stream);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) return stop();
      if (fromRevision <= this.#compacted)
        return stream.end(unavailable(`the watched revision was compacted at ${this.#compacted}`));
      this.#feed(stream);
    });
  }

  async swap(swap: EtcdSwap, signal: AbortSignal): Promise<EtcdSwapOutcome> {
    await this.#call(signal);
    const before = this.#records.get(swap.key);
    const succeeded = (before?.modRevision ?? 0n) === swap.expected;
    if (succeeded) {
      this.onSwap(before, swap);
      if (swap.write === null) this.delete(swap.key);
      else this.put(swap.key, swap.write.value, swap.write.leaseId);
    }
    if (this.#lostAnswers > 0) {
      this.#lostAnswers--;
      throw unavailable("the answer was lost");
    }
    return { succeeded, revision: this.#revision, current: succeeded ? null : (before ?? null) };
  }

  async grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: string; ttlSeconds: number }> {
    await this.#call(signal);
    return { leaseId: String(++this.#leases), ttlSeconds };
  }

  async revoke(_leaseId: string, signal: AbortSignal): Promise<void> {
    await this.#call(signal);
  }

  describe(): string {
    return "memory";
  }

  async close(): Promise<void> {
    this.dropStreams();
  }

  async #call(signal: AbortSignal): Promise<void> {
    await Promise.resolve();
    signal.throwIfAborted();
    if (this.#failures > 0) this.#failures--;
    else if (!this.down) return;
    throw unavailable("the call failed");
  }

  #emit(entry: { readonly revision: bigint; readonly event: EtcdEvent }): void {
    this.#history.push(entry);
    for (const stream of [...this.#streams]) this.#feed(stream);
  }

  #feed(stream: Stream): void {
    if (this.#silent) return;
    const due = this.#history.filter(({ revision, event }) => {
      const key = event.kind === "put" ? event.record.key : event.key;
      return (
        revision >= stream.next && (stream.prefix.endsWith("/") ? key.startsWith(stream.prefix) : key === stream.prefix)
      );
    });
    stream.next = this.#revision + 1n;
    if (due.length > 0) stream.deliver(due.map(({ event }) => event));
  }
}

function unavailable(message: string): RipstopError {
  return new RipstopError("STORE_UNAVAILABLE", message);
}
