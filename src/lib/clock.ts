// Time as the control plane sees it: monotonic milliseconds and abortable waiting. Everything that waits takes a Clock, so
// that tests move time by hand. Wall-clock time decides nothing.

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
    for (let left = ms; left > 0 && !signal.aborted; left -= TIMER_MAX_MS) {
      await wait(Math.min(left, TIMER_MAX_MS), signal);
    }
  },
};

/** Not that of node:timers/promises, which makes an error of each abort: loops are woken many times a second. */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
