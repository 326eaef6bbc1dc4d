// Names the numbers of a packet port, and states the law they obey. Pure. The names come from native/library/exchange.cc.

export interface PortCounters {
  readonly received: bigint;
  readonly receivedBytes: bigint;
  /** Accepted by this port, whichever port's batch they came from. */
  readonly sent: bigint;
  readonly sentBytes: bigint;
  /** Empty frames given out to be filled. */
  readonly allocated: bigint;
  /** Taken out of another port's batch to be sent here. */
  readonly taken: bigint;
  /** Of this port's batches, given to another port. */
  readonly passed: bigint;
  /** Given back unsent: the program did not want them. */
  readonly released: bigint;
  /** By drop-reason label. */
  readonly drops: Readonly<Record<string, bigint>>;
}

const DROP = "drop.";

export function namePort(layout: readonly string[], values: ArrayLike<bigint>): PortCounters {
  const read = (name: string): bigint => values[layout.indexOf(name)] ?? 0n;
  const drops: Record<string, bigint> = {};
  for (const [index, name] of layout.entries())
    if (name.startsWith(DROP)) drops[name.slice(DROP.length)] = values[index] ?? 0n;
  return {
    received: read("received"),
    receivedBytes: read("received_bytes"),
    sent: read("sent"),
    sentBytes: read("sent_bytes"),
    allocated: read("allocated"),
    taken: read("taken"),
    passed: read("passed"),
    released: read("released"),
    drops,
  };
}

/** What `received + allocated + taken = sent + passed + released + drops + held` leaves unexplained; 0n always. */
export function unaccountedPort(counters: PortCounters, held: number): bigint {
  let ends = counters.sent + counters.passed + counters.released + BigInt(held);
  for (const count of Object.values(counters.drops)) ends += count;
  return counters.received + counters.allocated + counters.taken - ends;
}
