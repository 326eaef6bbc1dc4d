// Wakes one waiting loop. Kicks that come while the loop works are remembered, as one.
import type { Clock } from "./clock.js";

export class Trigger {
  readonly #clock: Clock;
  #kicked = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  kick(): void {
    this.#kicked.abort();
  }

  /** Resolves at the next kick (or at once when one came since the last wait), after the time, or at the abort. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, AbortSignal.any([signal, this.#kicked.signal]));
    this.#kicked = new AbortController();
  }
}
