// How many log lines may leave the process: a burst, then a trickle. Whatever comes in (a store full of bad records, a flapping
// link), the log stays readable and the disk free; what was left out is counted and told. Pure: time comes in.

/** A start with hundreds of refused leases still fits. */
const BURST_LINES = 400;
const LINES_PER_SECOND = 20;

export class RateGate {
  readonly #nowMs: () => number;
  #tokens = BURST_LINES;
  #atMs: number;
  #pending = 0;
  #suppressed = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
  }

  /** All lines left out since the start. */
  get suppressed(): number {
    return this.#suppressed;
  }

  pass(): boolean {
    const now = this.#nowMs();
    this.#tokens = Math.min(BURST_LINES, this.#tokens + ((now - this.#atMs) / 1000) * LINES_PER_SECOND);
    this.#atMs = now;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return true;
    }
    this.#pending++;
    this.#suppressed++;
    return false;
  }

  /** How many were left out since the last call; whoever logs says so. */
  takePending(): number {
    const pending = this.#pending;
    this.#pending = 0;
    return pending;
  }
}
