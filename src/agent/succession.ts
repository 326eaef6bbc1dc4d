// Replaces a data plane by another process without a gap: the successor opens its ports beside the one in charge, which then
// lets go and drains. Whichever of the two is alive first in a program chain takes a packet, and where neither is, the kernel's
// path does: so no order of these steps loses one. The udp format has no programs; there both share one device and one port, and
// the kernel gives everything to one of them. Used by the supervisor alone.
import type { OpenOptions } from "../dataplane/binding.js";
import type { DataplaneClient } from "../dataplane/client.js";
import { sameOpenOptions } from "../dataplane/options.js";
import { RipstopError } from "../lib/errors.js";
import type { Latest } from "../lib/latest.js";
import type { Controlled, DataplanePair } from "./dataplane-pair.js";

export interface Succession {
  readonly pair: DataplanePair;
  readonly old: DataplaneClient;
  readonly oldOptions: OpenOptions;
  readonly options: OpenOptions;
  readonly incarnation: string;
  /** What the old one has adopted. */
  readonly applied: Uint8Array | null;
  readonly tables: Latest<Uint8Array | null>;
}

/** The successor, and the table it was given: there may be a newer one since. */
export interface Succeeded {
  readonly next: Controlled;
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

/** The successor, promoted, with the newest table applied. Rejects with SuccessionFailed; nothing of the successor is left then. */
export async function succeed(given: Succession, signal: AbortSignal): Promise<Succeeded> {
  const { pair, old, options, incarnation, tables } = given;
  let oldIsAlive = true;
  const leaves = new AbortController();
  const informed = keepInformed(given, AbortSignal.any([signal, leaves.signal]));
  const endOld = async (): Promise<void> => {
    if (!oldIsAlive) return;
    oldIsAlive = false;
    leaves.abort();
    await informed;
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
    const table = tables.current ?? null;
    if (table !== null) {
      await next.client.apply(table);
      const { running } = await next.client.inspect();
      if (!running) throw new RipstopError("DATAPLANE_STOPPED", "the successor's workers have stopped");
    }
    await endOld();
    pair.promote();
    return { next, table };
  } catch (error) {
    if (next !== null) await pair.endSuccessor(next.client);
    throw new SuccessionFailed(error, oldIsAlive);
  } finally {
    leaves.abort();
    await informed;
  }
}

/**
 * The old one carries until the switch, which may be a second away, and must not do so by addresses that are no longer true. That it
 * refuses a table is the successor's to say.
 */
async function keepInformed({ old, applied, tables }: Succession, signal: AbortSignal): Promise<void> {
  let known = applied;
  for await (const table of tables.follow(signal)) {
    if (table === null || table === known) continue;
    known = table;
    await old.apply(table).catch(() => undefined);
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
