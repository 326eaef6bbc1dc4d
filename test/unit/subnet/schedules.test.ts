// Random schedules of everything that happens to a lease store. RIPSTOP_SCHEDULES and RIPSTOP_SEED choose how many and which;
// a failure prints the seed that repeats it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseSchedule } from "../../support/lease-schedule.js";

const COUNT = Number(process.env["RIPSTOP_SCHEDULES"] ?? 200);
const SEED = Number(process.env["RIPSTOP_SEED"] ?? 1);
const STEPS = 60;
const TOGETHER = 20;

test(`${COUNT} random schedules from seed ${SEED}: no live peer withdrawn, nothing foreign overwritten, table equal to the store`, async (t) => {
  const failures: string[] = [];
  for (let at = 0; at < COUNT; at += TOGETHER) {
    const seeds = Array.from({ length: Math.min(TOGETHER, COUNT - at) }, (_, i) => SEED + at + i);
    const problems = await Promise.all(seeds.map((seed) => new LeaseSchedule(seed).run(STEPS)));
    for (const [i, problem] of problems.entries())
      if (problem !== null) failures.push(`RIPSTOP_SEED=${seeds[i]} RIPSTOP_SCHEDULES=1: ${problem}`);
  }
  t.diagnostic(`seeds ${SEED}..${SEED + COUNT - 1}, ${STEPS} steps each`);
  assert.deepEqual(failures.slice(0, 3), [], `${failures.length} of ${COUNT} failed`);
});
