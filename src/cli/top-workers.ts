// The part of `ripstop top` that tells workers and their ports apart. Pure: two readings in, rates and text out.
import type { DataplaneStatus } from "../agent/node-status.js";
import type { WorkerPortReport } from "../dataplane/binding.js";
import { type Counters, type LaneCounters, subtractCounters } from "../dataplane/counters.js";
import { textTable } from "../lab/text-table.js";

/** Packets in a full batch (pkt::Batch). */
const BATCH = 64;

type Drops = Readonly<Record<string, bigint>>;

/** One port of one worker, between two readings. */
export interface PortRate extends WorkerPortReport {
  readonly rxPacketsPerSecond: number;
  readonly txPacketsPerSecond: number;
  readonly rxBitsPerSecond: number;
  readonly txBitsPerSecond: number;
  /** Frames in a burst that was read here, as a share of what fits. */
  readonly batchFill: number;
  /** Of packets that were read here, by reason; none of those without any. */
  readonly drops: Drops;
}

export interface WorkerRate {
  readonly worker: number;
  readonly heartbeatAgeMs: number;
  readonly framesFree: number;
  readonly framesTotal: number;
  readonly ports: readonly PortRate[];
}

export function workerRates(now: DataplaneStatus, before: DataplaneStatus, seconds: number): readonly WorkerRate[] {
  const counters = now.workerCounters ?? [];
  // One that was started again counts from zero.
  const bases = now.pid === before.pid ? (before.workerCounters ?? counters) : counters;
  return (now.inspection?.perWorker ?? []).flatMap(({ ports, ...worker }, index) => {
    const [later, earlier] = [counters[index], bases[index]];
    if (later === undefined || earlier === undefined) return [];
    const between = subtractCounters(later, earlier);
    return [
      { worker: index, ...worker, ports: ports.map((port) => ({ ...port, ...portRate(port, between, seconds) })) },
    ];
  });
}

/** Encap reads the overlay port and writes the underlay port, decap the other way; answers go back to the overlay. */
function portRate({ side }: WorkerPortReport, { encap, decap, answer }: Counters, seconds: number) {
  const overlay = side === "overlay";
  const reader = overlay ? encap : decap;
  const writers = overlay ? [decap, answer] : [encap];
  const sent = (field: "txPackets" | "txBytes") => writers.reduce((sum, lane) => sum + lane[field], 0n);
  const perSecond = (count: bigint) => Number(count) / seconds;
  return {
    rxPacketsPerSecond: perSecond(reader.rxPackets),
    txPacketsPerSecond: perSecond(sent("txPackets")),
    rxBitsPerSecond: perSecond(reader.rxBytes) * 8,
    txBitsPerSecond: perSecond(sent("txBytes")) * 8,
    batchFill: reader.rxBatches === 0n ? 0 : Number(reader.rxFrames) / Number(reader.rxBatches) / BATCH,
    drops: sumDrops(overlay ? [encap, answer] : [decap]),
  };
}

function sumDrops(lanes: readonly LaneCounters[]): Drops {
  const sums: Record<string, bigint> = {};
  for (const { drops } of lanes)
    for (const [reason, count] of Object.entries(drops)) if (count > 0n) sums[reason] = (sums[reason] ?? 0n) + count;
  return sums;
}

export function dropList(drops: Drops): string {
  const some = Object.entries(drops).filter(([, count]) => count > 0n);
  return some.map(([reason, count]) => `${reason} ${count}`).join(", ") || "0";
}

export function formatWorkers(workers: readonly WorkerRate[]): string {
  if (workers.length === 0) return "";
  return textTable([
    ["WORKER", "PORT", "RX PKT/S", "TX PKT/S", "RX GBIT/S", "TX GBIT/S", "BATCH FILL", "DROPS", "RINGS"],
    ...workers.flatMap(({ worker, ports, framesFree, framesTotal }) =>
      ports.map((port) => [
        `${worker}`,
        `${port.side} ${port.kind}`,
        port.rxPacketsPerSecond.toFixed(0),
        port.txPacketsPerSecond.toFixed(0),
        (port.rxBitsPerSecond / 1e9).toFixed(3),
        (port.txBitsPerSecond / 1e9).toFixed(3),
        `${(port.batchFill * 100).toFixed(0)} %`,
        dropList(port.drops),
        rings(port, `${framesFree}/${framesTotal} frames free`),
      ]),
    ),
  ]);
}

/** A TAP, a TUN or a socket has no rings that could be seen: what tells of a full one is the kernel's count of drops. */
function rings({ side, queues, rxKernelDrops, txPending }: WorkerPortReport, frames: string): string {
  const each = queues.map(
    ({ device, id, ringSize, rxWaiting, rxFree, txWaiting }) =>
      `${device} queue ${id}: rx ${rxWaiting}, free ${rxFree}, tx ${txWaiting} of ${ringSize}`,
  );
  const pending = txPending > 0 ? [`${txPending} being sent`] : [];
  // The pool is the worker's, so it is said once.
  return [...each, ...pending, `${rxKernelDrops} dropped before`, ...(side === "overlay" ? [frames] : [])].join("; ");
}
