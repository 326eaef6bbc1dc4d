// Runs one pass again and again: soon after a trigger (debounced, so that a burst of events costs one pass), every period,
// and after a failure with back-off. Never two passes at once. Owned by whoever owns the pass; stops with close().
import { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";

/** Why a pass is due: somebody wants something else, or the kernel changed. */
export type Reason = "wanted" | "event";

const EVENT_REST = 4;

export interface ReconcileLoopOptions {
  readonly pass: () => Promise<void>;
  /** A pass failed as a whole. */
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
  readonly debounceMs: number;
  readonly periodMs: number;
}

export class ReconcileLoop {
  readonly #options: ReconcileLoopOptions;
  readonly #backoff = new Backoff({ initialMs: 500, maxMs: 30_000 });
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;
  #wake: AbortController = new AbortController();
  #triggered: Reason | null = null;
  #lastPassMs = 0;
  /** Serializes the loop's passes with those of callers of now(). */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReconcileLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /**
   * A pass will begin after the debounce time. Kernel events may come without end (every pod makes some), so they leave at
   * least four times as much time between passes as a pass takes; a change of what is wanted does not wait that long.
   */
  trigger(reason: Reason): void {
    const first = this.#triggered === null;
    if (this.#triggered !== "wanted") this.#triggered = reason;
    if (first || reason === "wanted") this.#wake.abort();
  }

  /** Runs a pass after whatever is under way; rejects if it fails. */
  now(): Promise<void> {
    const pass = this.#turn.then(async () => {
      const begin = this.#options.clock.nowMs();
      await this.#options.pass();
      this.#lastPassMs = this.#options.clock.nowMs() - begin;
    });
    this.#turn = pass.catch(() => undefined);
    return pass;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.#turn;
  }

  async #run(): Promise<void> {
    const { clock, debounceMs, periodMs, onError } = this.#options;
    const stop = this.#stop.signal;
    let waitMs = periodMs;
    while (!stop.aborted) {
      if (this.#triggered === null) await clock.sleep(waitMs, AbortSignal.any([stop, this.#wake.signal]));
      if (stop.aborted) return;
      if (this.#triggered === "event") {
        this.#wake = new AbortController();
        const restMs = Math.max(debounceMs, EVENT_REST * this.#lastPassMs);
        await clock.sleep(restMs, AbortSignal.any([stop, this.#wake.signal]));
      }
      if (this.#triggered === "wanted") await clock.sleep(debounceMs, stop);
      this.#triggered = null;
      this.#wake = new AbortController();
      try {
        await this.now();
        this.#backoff.reset();
        waitMs = periodMs;
      } catch (error) {
        onError(error);
        waitMs = Math.min(periodMs, this.#backoff.nextMs());
      }
    }
  }
}
