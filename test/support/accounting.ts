// Packet accounting that network tests assert: every packet our data plane received was delivered, answered, punted or
// counted under a drop reason, and what one node sent the other received.
import assert from "node:assert/strict";
import type { DataplaneClient } from "../../src/dataplane/client.js";
import { type Counters, type LANE_NAMES, type LaneCounters, unaccounted } from "../../src/dataplane/counters.js";
import type { LabNode } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { waitFor } from "../../src/lab/wait.js";

const PATIENT = { timeoutMs: 30_000, everyMs: 15 };
/** A worker that has woken up looks at its ports at the latest a turn later. */
const TURNS = 2;

/** Anything that answers with counters: a client, or a lab node whose data plane may be slow to answer. */
export type CounterSource = Pick<DataplaneClient, "counters" | "inspect"> | LabNode;

/**
 * Counters at rest: they say the same for two turns of every worker, so that no packet waits for one that the machine keeps from its
 * CPU, and what was received is accounted for. Never at rest: counters that break the law.
 */
export async function restingCounters(source: CounterSource): Promise<Counters> {
  let last: Counters | null = null;
  let readAt = 0;
  let turns = 0;
  const ask = async (): Promise<Counters | null> => {
    const asked = performance.now();
    const seen = await look(source);
    if (seen === null) return null;
    const same = last !== null && fingerprint(seen.counters) === fingerprint(last);
    // Each worker's last sign of life is later than the reading before.
    if (same && asked - seen.heartbeatAgeMs <= readAt) return null;
    turns = same ? turns + 1 : 0;
    last = seen.counters;
    readAt = performance.now();
    return turns >= TURNS && isLawful(last) ? last : null;
  };
  const explain = async () => (last === null ? "the data plane never answered" : `last were ${fingerprint(last)}`);
  return waitFor("counters to rest with every packet accounted for", ask, { ...PATIENT, explain });
}

async function look(source: CounterSource): Promise<{ counters: Counters; heartbeatAgeMs: number } | null> {
  if ("namespace" in source) {
    const view = await runningPlane(source);
    return view === null ? null : { counters: view.counters, heartbeatAgeMs: view.inspection.heartbeatAgeMs };
  }
  const { heartbeatAgeMs } = await source.inspect();
  return { counters: await source.counters(), heartbeatAgeMs };
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

/** As much; but an agent's data plane leaves to the kernel what comes before it has found the next hop. */
export function assertNothingDropped(counters: Counters, where: string): void {
  assertLaw(counters, where);
  for (const name of ["encap", "decap"] as const) {
    const lane = counters[name];
    assert.equal(lane.txPackets + lane.punts, lane.rxPackets, `${name} of ${where}: ${describeLosses(lane)}`);
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
