// Names the numbers that readCounters() fills, and states the law they obey. Pure. The names come from the native layout
// (native/pkt/counters.h and drop_reason.def); this file only gives the ones that people and metrics ask for a type.
import { RipstopError } from "../lib/errors.js";

/** One direction: encap is toward the underlay, decap is from it. In wire packets unless the name says otherwise. */
export interface LaneCounters {
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly rxFrames: bigint;
  readonly rxBatches: bigint;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly txFrames: bigint;
  readonly punts: bigint;
  readonly replies: bigint;
  /** By drop-reason label; every reason is present. */
  readonly drops: Readonly<Record<string, bigint>>;
}

export interface Counters {
  readonly encap: LaneCounters;
  readonly decap: LaneCounters;
  /** ICMP answers and packets handed back to the kernel path: rx is what encap made of its replies and punts. */
  readonly answer: LaneCounters;
}

export type LaneName = keyof Counters;
/** In the order in which people read a packet's life. */
export const LANE_NAMES: readonly LaneName[] = ["encap", "decap", "answer"];

const FIELDS = {
  rxPackets: "rx_packets",
  rxBytes: "rx_bytes",
  rxFrames: "rx_frames",
  rxBatches: "rx_batches",
  txPackets: "tx_packets",
  txBytes: "tx_bytes",
  txFrames: "tx_frames",
  punts: "punts",
  replies: "replies",
} as const satisfies Record<Exclude<keyof LaneCounters, "drops">, string>;
const DROP = "drop.";

/** Throws NATIVE_LAYOUT when the layout lacks a counter that is promised here: the addon and dist/ are of different builds. */
export function nameCounters(layout: readonly string[], values: ArrayLike<bigint>): Counters {
  return {
    encap: nameLane("encap", layout, values),
    decap: nameLane("decap", layout, values),
    answer: nameLane("answer", layout, values),
  };
}

/** Of each worker alone: their values stand behind the sums in the same order. */
export function nameWorkerCounters(layout: readonly string[], values: ArrayLike<bigint>): readonly Counters[] {
  const all = Array.from(values);
  return Array.from({ length: all.length / layout.length - 1 }, (_, worker) =>
    nameCounters(layout, all.slice((1 + worker) * layout.length, (2 + worker) * layout.length)),
  );
}

/** What the law `rx = tx + punts + replies + sum(drops)` leaves unexplained, per lane; 0n when at rest. */
export function unaccounted(counters: Counters): Readonly<Record<LaneName, bigint>> {
  const { encap, decap, answer } = counters;
  return { encap: unaccountedLane(encap), decap: unaccountedLane(decap), answer: unaccountedLane(answer) };
}

export function unaccountedLane({ rxPackets, txPackets, punts, replies, drops }: LaneCounters): bigint {
  return rxPackets - txPackets - punts - replies - totalDrops(drops);
}

export function totalDrops(drops: LaneCounters["drops"]): bigint {
  let total = 0n;
  for (const count of Object.values(drops)) total += count;
  return total;
}

/** What happened between two readings of the same data plane. */
export function subtractCounters(later: Counters, earlier: Counters): Counters {
  return {
    encap: subtractLane(later.encap, earlier.encap),
    decap: subtractLane(later.decap, earlier.decap),
    answer: subtractLane(later.answer, earlier.answer),
  };
}

function subtractLane(later: LaneCounters, earlier: LaneCounters): LaneCounters {
  const drops = Object.entries(later.drops).map(
    ([label, count]) => [label, count - (earlier.drops[label] ?? 0n)] as const,
  );
  return buildLane((field) => later[field] - earlier[field], Object.fromEntries(drops));
}

/** The lane whose counters are called `name.`... in the layout. */
export function nameLane(name: string, layout: readonly string[], values: ArrayLike<bigint>): LaneCounters {
  const own = new Map<string, bigint>();
  for (const [index, full] of layout.entries()) {
    if (full.startsWith(`${name}.`)) own.set(full.slice(name.length + 1), values[index] ?? 0n);
  }
  const read = (counter: string): bigint => {
    const value = own.get(counter);
    if (value !== undefined) return value;
    throw new RipstopError(
      "NATIVE_LAYOUT",
      `the native addon has no counter ${name}.${counter}; rebuild it with \`npm run build\``,
    );
  };
  const drops: Record<string, bigint> = {};
  for (const [counter, value] of own) {
    if (counter.startsWith(DROP)) drops[counter.slice(DROP.length)] = value;
  }
  return buildLane((field) => read(FIELDS[field]), drops);
}

function buildLane(count: (field: keyof typeof FIELDS) => bigint, drops: LaneCounters["drops"]): LaneCounters {
  return {
    rxPackets: count("rxPackets"),
    rxBytes: count("rxBytes"),
    rxFrames: count("rxFrames"),
    rxBatches: count("rxBatches"),
    txPackets: count("txPackets"),
    txBytes: count("txBytes"),
    txFrames: count("txFrames"),
    punts: count("punts"),
    replies: count("replies"),
    drops,
  };
}
