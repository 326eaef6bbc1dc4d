// A start's questions to the store, asked again until it answers: a node that comes up together with its etcd waits for it.
// Owned by the agent; never writes.
import { RipstopError } from "../lib/errors.js";
import type { AgentParts } from "./parts.js";

const RETRY_MS = 1_000;

/** Rejects when aborted. `giveUp` ends the waiting with its result; null: go on. */
export async function untilStoreAnswers<T>(
  what: string,
  ask: () => Promise<T>,
  { clock, logger }: Pick<AgentParts, "clock" | "logger">,
  signal: AbortSignal,
  giveUp: (error: unknown) => T | null = () => null,
): Promise<T> {
  let said = "";
  for (;;) {
    if (signal.aborted) throw interrupted(what);
    try {
      return await ask();
    } catch (error) {
      if (signal.aborted) throw interrupted(what);
      const instead = giveUp(error);
      if (instead !== null) return instead;
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== said) logger.warn(`waiting for ${what}`, { error });
      said = reason;
      await clock.sleep(RETRY_MS, signal);
    }
  }
}

function interrupted(what: string): RipstopError {
  return new RipstopError("START_INTERRUPTED", `stopped while waiting for ${what}`, { exitCode: 0 });
}
