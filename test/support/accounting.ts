// Packet accounting that network tests assert: every packet our data plane received was delivered, answered, punted or
// counted under a drop reason, and what one node sent the other received.
import assert from "node:assert/strict";
import { type Counters, type LANE_NAMES, type LaneCounters, unaccounted } from "../../src/dataplane/counters.js";
import { waitFor } from "../../src/lab/wait.js";

/** Anything that answers with counters: a client, or a lab node's view. */
export type CounterSource = () => Promise<Counters>;

const REST_MS = 30_000;

/**
 * Counters at rest: two readings in a row are equal, and no packet is between two of them, as it is for as long as a busy machine
 * keeps a worker waiting in the middle of a batch. Accounts that never come to agree are returned as they are, for the assertion.
 */
export async function restingCounters(source: CounterSource): Promise<Counters> {
  let last = "";
  const deadline = performance.now() + REST_MS;
  return waitFor(
    "counters to rest",
    async () => {
      const counters = await source();
      const text = fingerprint(counters);
      const settled = text === last && (isLawful(counters) || performance.now() > deadline);
      last = text;
      return settled ? counters : null;
    },
    { timeoutMs: 2 * REST_MS, everyMs: 30 },
  );
}

function isLawful(counters: Counters): boolean {
  return Object.values(unaccounted(counters)).every((packets) => packets === 0n);
}

/** rx = tx + punts + replies + drops, exactly, in every lane. */
export function assertLaw(counters: Counters, where: string): void {
  assert.deepEqual(unaccounted(counters), { encap: 0n, decap: 0n, answer: 0n }, `unaccounted packets in ${where}`);
}

/** Nothing was dropped, punted or answered: what came in went out. */
export function assertAllDelivered(counters: Counters, where: string): void {
  assertLaw(counters, where);
  for (const name of ["encap", "decap"] as const) {
    const lane = counters[name];
    assert.equal(lane.txPackets, lane.rxPackets, `${name} of ${where}: ${describeLosses(lane)}`);
  }
}

/** Every packet one node put on the wire is a packet the other took from it, both ways. */
export function assertConserved(one: Counters, other: Counters): void {
  assert.equal(other.decap.rxPackets, one.encap.txPackets, "packets from the first node to the second");
  assert.equal(one.decap.rxPackets, other.encap.txPackets, "packets from the second node to the first");
}

/** What happened between two readings. */
export function countersSince(before: Counters, after: Counters): Counters {
  const lane = (name: (typeof LANE_NAMES)[number]): LaneCounters => {
    const [old, now] = [before[name], after[name]];
    const drops = Object.fromEntries(Object.entries(now.drops).map(([why, n]) => [why, n - (old.drops[why] ?? 0n)]));
    return {
      rxPackets: now.rxPackets - old.rxPackets,
      rxBytes: now.rxBytes - old.rxBytes,
      rxFrames: now.rxFrames - old.rxFrames,
      rxBatches: now.rxBatches - old.rxBatches,
      txPackets: now.txPackets - old.txPackets,
      txBytes: now.txBytes - old.txBytes,
      txFrames: now.txFrames - old.txFrames,
      punts: now.punts - old.punts,
      replies: now.replies - old.replies,
      drops,
    };
  };
  return { encap: lane("encap"), decap: lane("decap"), answer: lane("answer") };
}

function describeLosses(lane: LaneCounters): string {
  const drops = Object.entries(lane.drops).filter(([, n]) => n > 0n);
  const named = drops.map(([why, n]) => `${n} ${why}`).join(", ");
  return `punts ${lane.punts}, replies ${lane.replies}, drops ${named || "none"}`;
}

function fingerprint(counters: Counters): string {
  return JSON.stringify(counters, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
}
