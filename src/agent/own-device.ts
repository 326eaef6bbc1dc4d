// Watches the device that a data plane makes for itself (flannel0 of the udp backend). It goes and comes whenever the data plane
// opens or restarts; only an absence that lasts means that somebody removed it under a data plane that runs on.
import type { Clock } from "../lib/clock.js";

/** Longer than a data plane takes to start and open, so that opening never causes opening. */
const LASTING_MS = 3_000;

export class OwnDevice {
  readonly #clock: Clock;
  #seen = false;
  #absentSinceMs: number | null = null;
  #losses = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Told whether the device is there now; answers how often it was lost for good so far. */
  look(present: boolean): number {
    if (present) {
      this.#seen = true;
      this.#absentSinceMs = null;
      return this.#losses;
    }
    if (!this.#seen) return this.#losses;
    const now = this.#clock.nowMs();
    this.#absentSinceMs ??= now;
    if (now - this.#absentSinceMs < LASTING_MS) return this.#losses;
    this.#absentSinceMs = now;
    return ++this.#losses;
  }
}
