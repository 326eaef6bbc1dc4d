// Whether the agent has come to a stop while its process lives: the comparison with the kernel ends in a new report at least
// once a minute, whatever happens, so a report that stays the same object for minutes means that a pass never ended. Used by
// /healthz and the systemd watchdog, whose answer is a restart; a blocked event loop answers neither.

/** Several times the longest pause between two passes. */
const LIMIT_MS = 300_000;

export class Wedge {
  readonly #nowMs: () => number;
  #report: unknown;
  #sinceMs: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  /** Why the agent should be restarted; null: it moves. `report`: what the last pass left, null before the first. */
  reason(report: unknown): string | null {
    const now = this.#nowMs();
    if (report === null || report !== this.#report) {
      this.#report = report;
      this.#sinceMs = now;
      return null;
    }
    const still = now - this.#sinceMs;
    return still < LIMIT_MS ? null : `no pass over the kernel's objects has ended for ${Math.round(still / 1000)} s`;
  }
}
