// Wakes one waiting loop. Kicks that come while the loop works are remembered, as one.
import type { Clock } from "./clock.js";

export class Trigger {
  readonly #clock: Clock;
  #kicked = false;
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  kick(): void {
    this.#kicked = true;
    this.#wake?.();
  }

  /** Resolves at the next kick (or at once when one came since the last wait), after the time, or at the abort. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#kicked && !signal.aborted) {
      // Not AbortSignal.any(): a signal that lives as long as the process would keep a note of every wait.
      const round = new AbortController();
      const end = () => round.abort(null);
      this.#wake = end;
      signal.addEventListener("abort", end, { once: true });
      await this.#clock.sleep(ms, round.signal);
      signal.removeEventListener("abort", end);
      this.#wake = null;
    }
    this.#kicked = false;
  }
}
