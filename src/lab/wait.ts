// Waiting on a condition with a deadline: the lab's only way to wait. Asks again until the answer is not null.
import { setTimeout as delay } from "node:timers/promises";
import { RipstopError } from "../lib/errors.js";

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Pause between two questions. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
  /** What to do when time runs out; ends the error's sentence. */
  readonly remedy?: string;
  /** Asked once at the deadline: what is known about the cause, e.g. the last line of a log. */
  readonly explain?: () => Promise<string>;
}

/** Resolves with the first answer that is not null; rejects with LAB_TIMEOUT, naming `what`, at the deadline. */
export async function waitFor<T>(what: string, ask: () => Promise<T | null>, options: WaitOptions): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() >= deadline) {
      const known = (await options.explain?.()) ?? "";
      const parts = [`waited ${options.timeoutMs / 1000} s for ${what}, in vain`, known, options.remedy ?? ""];
      throw new RipstopError("LAB_TIMEOUT", parts.filter((part) => part !== "").join("; "));
    }
    await delay(options.everyMs ?? 20, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}
