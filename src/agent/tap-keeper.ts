// Keeps the TAPs of the data plane up. A TAP that somebody sets down swallows what steering sends there, while its owner, which
// has given up every capability, can neither see that nor change it. Owned by a session.
import type { Host, HostEvent, Link } from "../host/host.js";
import type { Clock } from "../lib/clock.js";
import { Trigger } from "../lib/trigger.js";
import type { Logger } from "../observe/logger.js";

/** A TAP is named while it comes and goes; between two looks at least this. */
const PACE_MS = 50;
/**
 * One that was never seen up is being made: its data plane sets it up in a moment, after it has taken IPv6 from it. Whoever is faster
 * gives it an address, and the kernel's report of that goes into the overlay as if a pod had sent it.
 */
const MAKING_MS = 500;

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
  /** By index, those there are: since when they have been down; long ago: they were up. */
  #downSinceMs = new Map<number, number>();

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
      const nowMs = clock.nowMs();
      const unsure = [...this.#downSinceMs.values()].some((sinceMs) => nowMs - sinceMs < MAKING_MS);
      await this.#trigger.wait(unsure ? MAKING_MS : Number.POSITIVE_INFINITY, signal);
      if (signal.aborted) return;
      try {
        const raised = await this.#raise(host);
        if (raised.length > 0) logger.warn("set the data plane's TAPs up again", { detail: raised });
      } catch (error) {
        logger.warn("cannot set the data plane's TAPs up", { error });
      }
      await clock.sleep(PACE_MS, signal);
    }
  }

  #raise(host: Host): Promise<readonly string[]> {
    const before = this.#downSinceMs;
    this.#downSinceMs = new Map();
    const nowMs = this.#given.clock.nowMs();
    return host.raiseLinks(this.#names, ({ index, up }: Link) => {
      const sinceMs = up ? Number.NEGATIVE_INFINITY : (before.get(index) ?? nowMs);
      this.#downSinceMs.set(index, sinceMs);
      return nowMs - sinceMs >= MAKING_MS;
    });
  }
}
