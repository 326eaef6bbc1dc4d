// A mirror in the form its followers want: it starts with the first of them, and changes that come together are shown
// together. Owned by the etcd store.
import type { Clock } from "../../lib/clock.js";
import { Latest } from "../../lib/latest.js";
import type { SharedMap } from "../../lib/shared-map.js";
import { EtcdMirror, type MirrorOptions, type MirrorState } from "./mirror.js";
import type { EtcdRecord } from "./transport.js";

/** How long changes are gathered before they are shown. */
const SETTLE_MS = 15;

export class Mirrored<T> {
  readonly #latest = new Latest<T>();
  readonly #mirror: EtcdMirror;
  readonly #signal: AbortSignal;
  #running: Promise<void> | null = null;
  #records: SharedMap<EtcdRecord> | null = null;
  #settling = false;

  constructor(
    options: Omit<MirrorOptions, "onChange">,
    view: (records: SharedMap<EtcdRecord>) => T,
    signal: AbortSignal,
  ) {
    this.#signal = signal;
    this.#mirror = new EtcdMirror({ ...options, onChange: (records) => void this.#show(records, view, options.clock) });
  }

  get state(): MirrorState {
    return this.#mirror.state;
  }

  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  follow(signal: AbortSignal): AsyncIterable<T> {
    this.#running ??= this.#mirror.run(this.#signal);
    return this.#latest.follow(AbortSignal.any([signal, this.#signal]));
  }

  async #show(
    records: SharedMap<EtcdRecord>,
    view: (records: SharedMap<EtcdRecord>) => T,
    clock: Clock,
  ): Promise<void> {
    this.#records = records;
    if (this.#settling) return;
    this.#settling = true;
    await clock.sleep(this.#latest.current === undefined ? 0 : SETTLE_MS, this.#signal);
    this.#settling = false;
    if (!this.#signal.aborted) this.#latest.set(view(this.#records));
  }
}
