// `--watch`: shows something again and again until it is interrupted. On a terminal each view replaces the one before;
// elsewhere they follow each other.
import { setTimeout as delay } from "node:timers/promises";
import type { CommandContext } from "./command.js";

const CLEAR = "\u001b[H\u001b[2J";

/** Without `seconds`: once. Resolves with the last view's exit code. */
export async function show(
  context: CommandContext,
  seconds: number | undefined,
  view: () => Promise<{ readonly text: string; readonly exitCode: number }>,
): Promise<number> {
  for (;;) {
    const { text, exitCode } = await view();
    context.out(seconds !== undefined && context.terminal ? `${CLEAR}${text}` : text);
    if (seconds === undefined || context.signal.aborted) return exitCode;
    await delay(seconds * 1000, undefined, { signal: context.signal }).catch(() => undefined);
    if (context.signal.aborted) return exitCode;
  }
}
