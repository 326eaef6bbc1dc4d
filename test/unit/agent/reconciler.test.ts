// When the reconciler compares everything, and when it touches only what changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Reconciler } from "../../../src/agent/reconciler.js";
import type { Overlay } from "../../../src/backend/backend.js";
import type { PeerTable } from "../../../src/dataplane/peer-table.js";
import type { ReconcileReport } from "../../../src/host/host.js";
import type { Lease } from "../../../src/lease/lease.js";
import { lease, leaseMap } from "../../support/lease-builder.js";
import { ManualClock } from "../../support/manual-clock.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { until } from "../../support/until.js";

const GOOD: ReconcileReport = { changes: [], failures: [] };

function start(answer: (pass: number) => ReconcileReport | Error = () => GOOD, costMs = 0) {
  const clock = new ManualClock();
  const passes: { readonly kind: "all" | "changed"; readonly leases: number; readonly atMs: number }[] = [];
  const begunMs = clock.nowMs();
  const overlay = {
    peers: async (leases: ReadonlyMap<string, Lease>) => ({
      table: { version: 0n, local: {}, peers: [...leases.keys()] } as unknown as PeerTable,
      refused: [],
    }),
    reconcile: async ({ peers }: PeerTable, since: PeerTable | null) => {
      passes.push({ kind: since === null ? "all" : "changed", leases: peers.length, atMs: clock.nowMs() - begunMs });
      if (since === null) clock.advance(costMs);
      const report = answer(passes.length);
      if (report instanceof Error) throw report;
      return report;
    },
  } as unknown as Overlay;
  const reconciler = new Reconciler({ overlay, clock, logger: silentLogger(), applied: async () => {} }, new Map());
  const end = new AbortController();
  const passed = (count: number, stepMs = 1) =>
    until(`${count} passes`, async () => {
      if (passes.length < count) clock.advance(stepMs);
      await new Promise(setImmediate);
      return passes.length >= count;
    });
  return { clock, passes, reconciler, passed, end, run: () => reconciler.run(end.signal) };
}

const leases = (count: number) =>
  leaseMap(...Array.from({ length: count }, (_, i) => lease(`10.1.${i}.0-24`, `192.0.2.${i + 1}`)));

test("new leases touch what changed; distrust compares everything, and so does time", async () => {
  const { passes, reconciler, passed, end, run } = start();
  await reconciler.start();
  const running = run();
  reconciler.update(leases(1), []);
  await passed(2);
  reconciler.update(leases(2), []);
  await passed(3);
  reconciler.distrust(false);
  await passed(4);
  await passed(5, 500);
  end.abort();
  await running;
  assert.deepEqual(
    passes.map(({ kind, leases: count }) => `${kind} ${count}`),
    ["all 0", "changed 1", "changed 2", "all 2", "all 2"],
  );
  const [, , , fourth, fifth] = passes;
  assert.ok((fifth?.atMs ?? 0) - (fourth?.atMs ?? 0) >= 10_000);
});

test("comparing pauses the longer the more it costs, and changed leases do not wait for it", async () => {
  const { passes, reconciler, passed, end, run } = start(() => GOOD, 100);
  await reconciler.start();
  const running = run();
  reconciler.distrust(false);
  await passed(2, 50);
  reconciler.distrust(false);
  reconciler.update(leases(1), []);
  await passed(4, 50);
  end.abort();
  await running;
  assert.deepEqual(
    passes.map(({ kind }) => kind),
    ["all", "all", "changed", "all"],
  );
  const [first, second, third, fourth] = passes.map(({ atMs }) => atMs) as [number, number, number, number];
  assert.ok(second - first >= 1_000 && fourth - second >= 1_000, "ten times 100 ms between comparisons");
  assert.ok(third - second < 300, "the change is applied at once");
});

test("what is seen to be broken is repaired within half a second, however much comparing costs", async () => {
  const { passes, reconciler, passed, end, run } = start(() => GOOD, 200);
  await reconciler.start();
  const running = run();
  reconciler.distrust(false);
  reconciler.distrust(true);
  await passed(2, 10);
  reconciler.distrust(true);
  await passed(3, 10);
  end.abort();
  await running;
  const [first, second, third] = passes.map(({ atMs }) => atMs) as [number, number, number];
  // Each holds the 200 ms that the one before took.
  for (const between of [second - first, third - second])
    assert.ok(between >= 650 && between <= 800, `${between} ms between comparisons`);
});

test("passes that fail are repeated soon at first, and never in a loop", async () => {
  const { passes, reconciler, passed, end, run } = start((pass) => (pass === 1 ? GOOD : new Error("no device")));
  await reconciler.start();
  const running = run();
  reconciler.distrust(true);
  await passed(2, 5);
  await until("the error", () => reconciler.report.error === "no device");
  for (let count = 3; count <= 10; count++) {
    reconciler.distrust(true);
    await passed(count, 5);
  }
  end.abort();
  await running;
  const times = passes.slice(1).map(({ atMs }) => atMs);
  const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  assert.ok((pauses[0] ?? 0) <= 100, `the first after ${pauses[0]} ms`);
  assert.ok((pauses.at(-1) ?? 0) >= 250 && Math.max(...pauses) <= 550, pauses.join(" "));
});

test("what a small pass could not make is compared at once, and stays reported until a comparison is clean", async () => {
  const failure = { object: "route 10.1.0.0/24", errno: 17, message: "File exists" };
  const { passes, reconciler, passed, end, run } = start((pass) =>
    pass === 2 ? { changes: [], failures: [failure] } : GOOD,
  );
  await reconciler.start();
  const running = run();
  reconciler.update(leases(1), []);
  await passed(2);
  await until("the report", () => reconciler.report.failures.length === 1);
  await passed(3);
  await until("a clean report", () => reconciler.report.failures.length === 0);
  end.abort();
  await running;
  assert.deepEqual(
    passes.map(({ kind }) => kind),
    ["all", "changed", "all"],
  );
});

test("records that make no peer are reported beside the leases that cannot be used", async () => {
  const { reconciler, passed, end, run } = start();
  await reconciler.start();
  const running = run();
  reconciler.update(leases(1), [{ key: "10.1.9.0-24", reason: "the value is no JSON" }]);
  await passed(2);
  await until("the report", () => reconciler.report.refused.length === 1);
  assert.equal(reconciler.report.refused[0]?.key, "10.1.9.0-24");
  end.abort();
  await running;
});

test("a pass that fails as a whole is repeated as a comparison and said once", async () => {
  const { passes, reconciler, passed, end, run } = start((pass) => (pass === 2 ? new Error("no netlink") : GOOD));
  await reconciler.start();
  const running = run();
  reconciler.update(leases(1), []);
  await passed(2);
  await until("the error", () => reconciler.report.error === "no netlink");
  await passed(3, 50);
  await until("the error's end", () => reconciler.report.error === null);
  end.abort();
  await running;
  assert.deepEqual(
    passes.map(({ kind, leases: count }) => `${kind} ${count}`),
    ["all 0", "changed 1", "all 1"],
  );
});

test("a comparison that only the clock asks for waits for a pause in the changes, but not for ever", async () => {
  const { clock, passes, reconciler, end, run } = start();
  await reconciler.start();
  const running = run();
  const lastedMs = async (changeEveryMs: number, limitMs: number) => {
    const [begunMs, before] = [clock.nowMs(), passes.filter(({ kind }) => kind === "all").length];
    while (clock.nowMs() - begunMs < limitMs && passes.filter(({ kind }) => kind === "all").length === before) {
      if (changeEveryMs > 0) reconciler.update(leases(1), []);
      clock.advance(changeEveryMs || 100);
      for (let ticks = 0; ticks < 5; ticks++) await new Promise(setImmediate);
    }
    return clock.nowMs() - begunMs;
  };
  const busy = await lastedMs(100, 200_000);
  assert.ok(busy >= 60_000 && busy < 80_000, `${busy} ms between comparisons while leases change`);
  const calm = await lastedMs(0, 200_000);
  assert.ok(calm >= 9_000 && calm < 20_000, `${calm} ms without changes`);
  end.abort();
  await running;
});
