// Keeps the TAPs of the data plane up. A TAP that somebody sets down swallows what steering sends there, while its owner, which
// has given up every capability, can neither see that nor change it. Owned by a session.
import type { Host, HostEvent } from "../host/host.js";
import type { Clock } from "../lib/clock.js";
import { Trigger } from "../lib/trigger.js";
import type { Logger } from "../observe/logger.js";

/** A TAP is named while it comes and goes; between two looks at least this. */
const PACE_MS = 50;

export interface TapKeeperOptions {
  readonly vni: number;
  readonly host: Host;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class TapKeeper {
  readonly #given: TapKeeperOptions;
  /** Two data planes take turns with two names a side (native/plane/choose_ports.cc). */
  readonly #names: readonly string[];
  readonly #trigger: Trigger;

  constructor(given: TapKeeperOptions) {
    this.#given = given;
    this.#names = ["rso", "rsu"].flatMap((side) => [`${side}.${given.vni}`, `${side}.${given.vni}b`]);
    this.#trigger = new Trigger(given.clock);
    this.#trigger.kick();
  }

  hear(event: HostEvent): void {
    if (event.kind === "overrun" || (event.kind === "link" && this.#names.includes(event.name))) this.#trigger.kick();
  }

  /** Until the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { host, clock, logger } = this.#given;
    while (!signal.aborted) {
      await this.#trigger.wait(Number.POSITIVE_INFINITY, signal);
      if (signal.aborted) return;
      try {
        const raised = await host.raiseLinks(this.#names);
        if (raised.length > 0) logger.warn("set the data plane's TAPs up again", { detail: raised });
      } catch (error) {
        logger.warn("cannot set the data plane's TAPs up", { error });
      }
      await clock.sleep(PACE_MS, signal);
    }
  }
}
