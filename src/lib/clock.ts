// Time as the control plane sees it: monotonic milliseconds and abortable waiting. Everything that waits takes a Clock, so
// that tests move time by hand. Wall-clock time decides nothing.
import { setTimeout as delay } from "node:timers/promises";

/** setTimeout overflows to 1 ms above 2^31-1 ms. */
const TIMER_MAX_MS = 0x7fffffff;

export interface Clock {
  /** Milliseconds since an arbitrary point, never going backwards. */
  nowMs(): number;
  /** Resolves after the time, or at once when the signal aborts; never rejects. Infinity waits for the signal alone. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** CLOCK_MONOTONIC: the same for all processes since boot. */
export const systemClock: Clock = {
  nowMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  async sleep(ms, signal) {
    let left = ms;
    while (left > 0 && !signal.aborted) {
      const step = Math.min(left, TIMER_MAX_MS);
      await delay(step, undefined, { signal }).catch(() => undefined);
      left -= step;
    }
  },
};
