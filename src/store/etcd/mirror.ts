// Our copy of what is under one prefix: list, then watch from the next revision, and list again after anything unusual. A
// watch only shortens the delay; every list replaces the copy. While etcd is away the copy stays as it is. Owned by the
// etcd store; never throws into its consumers.
import { Backoff } from "../../lib/backoff.js";
import type { Clock } from "../../lib/clock.js";
import { SharedMap } from "../../lib/shared-map.js";
import type { EtcdEvent, EtcdRecord, EtcdTransport } from "./transport.js";

export interface MirrorOptions {
  readonly transport: EtcdTransport;
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called after the copy may have changed, with the copy as it is now. */
  readonly onChange: (records: SharedMap<EtcdRecord>) => void;
}

export interface MirrorState {
  readonly connected: boolean;
  readonly lastListAtMs: number | null;
  /** Empty while all is well. */
  readonly failure: string;
  /** Complete lists after the first. */
  readonly resyncs: number;
  /** Lists that found something the watch had not told. */
  readonly repairs: number;
}

const BACKOFF = { initialMs: 100, maxMs: 5_000 };
/** A full list now and then, whatever the watch says; jittered so that nodes do not list together. */
const RELIST_MS = 300_000;

export class EtcdMirror {
  readonly #options: MirrorOptions;
  #records = SharedMap.of<EtcdRecord>();
  #lists = 0;
  #connected = false;
  #lastListAtMs: number | null = null;
  #failure = "";
  #repairs = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  get state(): MirrorState {
    return {
      connected: this.#connected,
      lastListAtMs: this.#lastListAtMs,
      failure: this.#failure,
      resyncs: Math.max(0, this.#lists - 1),
      repairs: this.#repairs,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const backoff = new Backoff({ ...BACKOFF, random });
    let continuous = false;
    while (!signal.aborted) {
      try {
        const revision = await this.#list(continuous, signal);
        backoff.reset();
        continuous = await this.#watch(revision + 1n, signal);
        // A stream that ends at once, again and again, must not become a loop of lists.
        if (!continuous) await clock.sleep(backoff.nextMs(), signal);
      } catch (error) {
        continuous = false;
        this.#connected = false;
        if (signal.aborted) return;
        this.#failure = (error as Error).message;
        await clock.sleep(backoff.nextMs(), signal);
      }
    }
  }

  /** `expectEqual`: the watch ran without a gap, so a difference is something it failed to tell. */
  async #list(expectEqual: boolean, signal: AbortSignal): Promise<bigint> {
    const listing = await this.#options.transport.list(this.#options.prefix, signal);
    const listed = new Map<string, EtcdRecord>();
    for (const record of listing.records) {
      const known = this.#records.get(record.key);
      listed.set(record.key, known !== undefined && sameRecord(known, record) ? known : record);
    }
    const records = this.#records.become(listed);
    const changed = this.#lists === 0 || records !== this.#records;
    this.#records = records;
    if (changed && expectEqual) this.#repairs++;
    this.#lists++;
    this.#lastListAtMs = this.#options.clock.nowMs();
    this.#connected = true;
    this.#failure = "";
    // Also when nothing changed: a consumer may have learnt from its own writes what is no longer so.
    this.#options.onChange(this.#records);
    return listing.revision;
  }

  /** True when it was ended by the time for a full list and not by the other side. */
  async #watch(fromRevision: bigint, signal: AbortSignal): Promise<boolean> {
    const { clock, random, transport, prefix } = this.#options;
    const round = new AbortController();
    const bound = AbortSignal.any([signal, round.signal]);
    let due = false;
    const relist = clock.sleep(RELIST_MS * (0.75 + 0.5 * random()), bound).then(() => {
      due = !bound.aborted;
      round.abort();
    });
    try {
      await transport.watch(prefix, fromRevision, (events) => this.#apply(events), bound);
    } finally {
      round.abort();
      await relist;
    }
    if (!due) this.#connected = false;
    return due;
  }

  #apply(events: readonly EtcdEvent[]): void {
    const changes = new Map<string, EtcdRecord | undefined>();
    for (const event of events) {
      const key = event.kind === "put" ? event.record.key : event.key;
      const revision = event.kind === "put" ? event.record.modRevision : event.modRevision;
      const known = changes.has(key) ? changes.get(key) : this.#records.get(key);
      // Replayed events are older than what the list showed.
      if (known !== undefined && known.modRevision >= revision) continue;
      changes.set(key, event.kind === "put" ? event.record : undefined);
    }
    const records = this.#records.with(changes);
    if (records === this.#records) return;
    this.#records = records;
    this.#options.onChange(records);
  }
}

/** Every field: after an old backup was restored, revisions are used again for other records. */
function sameRecord(a: EtcdRecord, b: EtcdRecord): boolean {
  return (
    a.modRevision === b.modRevision &&
    a.createRevision === b.createRevision &&
    a.leaseId === b.leaseId &&
    a.value === b.value
  );
}
