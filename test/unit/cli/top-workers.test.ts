// What `ripstop top` makes of two readings: which lane's counters are which port's.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DataplaneStatus } from "../../../src/agent/node-status.js";
import { formatWorkers, workerRates } from "../../../src/cli/top-workers.js";
import type { Counters, LaneCounters } from "../../../src/dataplane/counters.js";

function lane(times: bigint, drops: LaneCounters["drops"]): LaneCounters {
  return {
    rxPackets: 1_000n * times,
    rxBytes: 125_000n * times,
    rxFrames: 640n * times,
    rxBatches: 20n * times,
    txPackets: 900n * times,
    txBytes: 250_000n * times,
    txFrames: 900n * times,
    punts: 0n,
    replies: 0n,
    drops,
  };
}

const NONE = { no_peer: 0n, unknown_peer: 0n };
const counters = (scale: bigint): Counters => ({
  encap: lane(scale, { ...NONE, no_peer: 3n * scale }),
  decap: lane(2n * scale, { ...NONE, unknown_peer: 5n * scale }),
  answer: lane(0n, NONE),
});

function reading(pid: number, scale: bigint): DataplaneStatus {
  const port = { rxKernelDrops: 4n, txPending: 0, queues: [] };
  const queue = { device: "eth0", id: 3, mode: "generic", ringSize: 2048, rxWaiting: 7, rxFree: 2000, txWaiting: 1 };
  const ports = [
    { side: "overlay" as const, kind: "tap" as const, ...port },
    { side: "underlay" as const, kind: "xdp" as const, ...port, txPending: 2, queues: [queue] },
  ];
  const perWorker = [1, 2].map(() => ({ heartbeatAgeMs: 1, framesTotal: 512, framesFree: 500, ports }));
  return {
    state: "running",
    pid,
    version: "1",
    inspection: { perWorker } as unknown as DataplaneStatus["inspection"],
    counters: null,
    workerCounters: [counters(scale), counters(10n * scale)],
  };
}

test("a port's packets are those of the lane that reads it and of those that write it, worker by worker", () => {
  const [first, second] = workerRates(reading(1, 2n), reading(1, 1n), 2);
  const rows = [first, second].map((worker) =>
    worker?.ports.map(({ side, rxPacketsPerSecond, txPacketsPerSecond, rxBitsPerSecond, batchFill, drops }) => [
      side,
      rxPacketsPerSecond,
      txPacketsPerSecond,
      rxBitsPerSecond,
      batchFill,
      drops,
    ]),
  );
  assert.deepEqual(rows, [
    [
      ["overlay", 500, 900, 500_000, 0.5, { no_peer: 3n }],
      ["underlay", 1_000, 450, 1_000_000, 0.5, { unknown_peer: 5n }],
    ],
    [
      ["overlay", 5_000, 9_000, 5_000_000, 0.5, { no_peer: 30n }],
      ["underlay", 10_000, 4_500, 10_000_000, 0.5, { unknown_peer: 50n }],
    ],
  ]);
});

test("the table has a row for each worker and port, with fill, drops by reason, and rings", () => {
  const lines = formatWorkers(workerRates(reading(1, 2n), reading(1, 1n), 2)).split("\n");
  assert.match(lines[1] ?? "", /^0 +overlay tap +500 +900 .* 50 % +no_peer 3 +4 dropped before; 500\/512 frames free$/);
  assert.match(
    lines[4] ?? "",
    /^1 +underlay xdp .* unknown_peer 50 +eth0 queue 3: rx 7, free 2000, tx 1 of 2048; 2 being sent; 4 dropped before$/,
  );
});

test("a data plane that was started again counts from zero, and one that tells no workers apart shows none", () => {
  const [fresh] = workerRates(reading(2, 1n), reading(1, 5n), 1);
  assert.deepEqual(
    fresh?.ports.map(({ rxPacketsPerSecond }) => rxPacketsPerSecond),
    [0, 0],
  );
  const old = { ...reading(1, 1n), workerCounters: null };
  assert.equal(formatWorkers(workerRates(old, old, 1)), "");
});
