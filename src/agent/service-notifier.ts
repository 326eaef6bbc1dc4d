// Tells the service manager how the agent is: READY=1 when subnet.env is there, as flanneld does; a sign of life while it is not
// wedged; STOPPING=1. A manager that cannot be told is worth one line, never a failure.
import type { Binding } from "../dataplane/binding.js";
import { toRipstopError } from "../dataplane/errors.js";
import type { ServiceManager } from "../config/service-manager.js";
import type { Clock } from "../lib/clock.js";
import type { Logger } from "../observe/logger.js";

const POLL_MS = 200;

export interface NotifierOptions {
  readonly manager: ServiceManager;
  readonly notify: Binding["notify"];
  readonly isReady: () => boolean;
  /** One line for `systemctl status`. */
  readonly describe: () => string;
  readonly wedged: () => string | null;
  readonly clock: Clock;
  readonly logger: Logger;
}

export async function keepServiceManagerInformed(options: NotifierOptions, signal: AbortSignal): Promise<void> {
  const { manager, clock, logger } = options;
  let told = false;
  let said = "";
  const tell = (state: string): void => {
    const refused = options.notify(manager.socket, state);
    if (refused !== null && !told)
      logger.warn("the service manager cannot be told", { error: toRipstopError(refused) });
    told ||= refused !== null;
  };
  while (!signal.aborted && !options.isReady()) await clock.sleep(POLL_MS, signal);
  if (!signal.aborted) tell(`READY=1\nSTATUS=${options.describe()}`);
  const everyMs = Math.min(manager.watchdogMs ?? Number.POSITIVE_INFINITY, 10_000);
  while (!signal.aborted) {
    const wedged = options.wedged();
    if (wedged === null && manager.watchdogMs !== null) tell("WATCHDOG=1");
    const status = wedged ?? options.describe();
    if (status !== said) tell(`STATUS=${status}`);
    said = status;
    await clock.sleep(everyMs, signal);
  }
  tell("STOPPING=1");
}
