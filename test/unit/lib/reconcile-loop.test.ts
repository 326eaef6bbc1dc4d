// The loop on the real clock with short times: every wait below is for a pass to begin, not for time to pass.
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../../src/lib/clock.js";
import { ReconcileLoop } from "../../../src/lib/reconcile-loop.js";

/** A loop whose passes the test sees one by one. */
function loopOf(pass: (number: number) => Promise<void>, periodMs = 60_000) {
  let passes = 0;
  let waiting: { readonly count: number; readonly resolve: () => void } | null = null;
  const errors: unknown[] = [];
  const loop = new ReconcileLoop({
    clock: systemClock,
    debounceMs: 5,
    periodMs,
    onError: (error) => errors.push(error),
    pass: async () => {
      passes++;
      if (waiting !== null && passes >= waiting.count) waiting.resolve();
      await pass(passes);
    },
  });
  const reach = (count: number): Promise<void> =>
    passes >= count ? Promise.resolve() : new Promise((resolve) => (waiting = { count, resolve }));
  return { loop, reach, errors, passes: () => passes };
}

test("a burst of triggers costs one pass, and the period comes without any", async () => {
  const { loop, reach, passes } = loopOf(async () => undefined);
  loop.start();
  for (let i = 0; i < 50; i++) loop.trigger(i % 2 === 0 ? "event" : "wanted");
  await reach(1);
  await loop.close();
  assert.equal(passes(), 1);
  const periodic = loopOf(async () => undefined, 1);
  periodic.loop.start();
  await periodic.reach(3);
  await periodic.loop.close();
});

test("passes never overlap, whoever asks for them", async () => {
  let running = 0;
  const { loop, reach } = loopOf(async () => {
    assert.equal(++running, 1);
    await new Promise(setImmediate);
    running--;
  }, 1);
  loop.start();
  await Promise.all([loop.now(), loop.now(), loop.now()]);
  await reach(6);
  await loop.close();
});

test("a failed pass is reported and tried again; now() hands the failure to its caller", async () => {
  const broken = new Error("no kernel");
  const { loop, reach, errors } = loopOf((number) => (number === 1 ? Promise.reject(broken) : Promise.resolve()), 1);
  loop.start();
  await reach(2);
  await loop.close();
  assert.deepEqual(errors, [broken]);
  const once = loopOf(() => Promise.reject(broken));
  await assert.rejects(once.loop.now(), broken);
});
