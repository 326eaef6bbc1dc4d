// Replaces a data plane by another process without a gap: the successor opens its ports beside the one in charge, which then
// lets go and drains. Whichever of the two is alive first in a program chain takes a packet, and where neither is, the kernel's
// path does: so no order of these steps loses one. The udp format has no programs; there both share one device and one port, and
// the kernel gives everything to one of them. Used by the supervisor alone.
import type { OpenOptions } from "../dataplane/binding.js";
import type { DataplaneClient } from "../dataplane/client.js";
import { sameOpenOptions } from "../dataplane/options.js";
import { RipstopError } from "../lib/errors.js";
import type { Controlled, DataplanePair } from "./dataplane-pair.js";

export interface Succession {
  readonly pair: DataplanePair;
  readonly old: DataplaneClient;
  readonly oldOptions: OpenOptions;
  readonly options: OpenOptions;
  readonly incarnation: string;
  readonly table: Uint8Array | null;
}

/** What failed, and whether the old data plane still carries. */
export class SuccessionFailed extends Error {
  readonly oldIsAlive: boolean;

  constructor(cause: unknown, oldIsAlive: boolean) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.oldIsAlive = oldIsAlive;
  }
}

/** The successor, promoted, with the table applied. Rejects with SuccessionFailed; nothing of the successor is left then. */
export async function succeed(given: Succession, signal: AbortSignal): Promise<Controlled> {
  const { pair, old, options, incarnation, table } = given;
  let oldIsAlive = true;
  const endOld = async (): Promise<void> => {
    if (!oldIsAlive) return;
    oldIsAlive = false;
    await pair.end(old);
  };
  let next: Controlled | null = null;
  try {
    next = await pair.takeSuccessor(signal);
    if (cannotBeOpenTwice(given.oldOptions, options)) await endOld();
    try {
      await next.client.open(options, incarnation);
    } catch (error) {
      // One of an older version shares nothing with anybody.
      if (options.encapsulation !== "udp" || !oldIsAlive) throw error;
      await endOld();
      await next.client.open(options, incarnation);
    }
    if (wouldDeliverTwice(options)) await endOld();
    if (table !== null) {
      await next.client.apply(table);
      const { running } = await next.client.inspect();
      if (!running) throw new RipstopError("DATAPLANE_STOPPED", "the successor's workers have stopped");
    }
    await endOld();
    pair.promote();
    return next;
  } catch (error) {
    if (next !== null) await pair.endSuccessor(next.client);
    throw new SuccessionFailed(error, oldIsAlive);
  }
}

/** One AF_XDP socket per device queue; TUN device and UDP port of the udp format are shared between two of one worker and kind. */
function cannotBeOpenTwice(old: OpenOptions, next: OpenOptions): boolean {
  const both = (holds: (options: OpenOptions) => boolean) => holds(old) && holds(next);
  const alike = sameOpenOptions(old, next) && next.workers === 1;
  if (both(({ encapsulation }) => encapsulation === "udp")) return !alike;
  return both(({ underlayPort }) => underlayPort === "xdp");
}

/** A packet socket gets a copy of every packet, whoever else is alive. */
function wouldDeliverTwice({ underlayPort }: OpenOptions): boolean {
  return underlayPort === "packet";
}
