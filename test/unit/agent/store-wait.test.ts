// A start's questions to the store: asked again until it answers, until the caller gives up, or until the end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { untilStoreAnswers } from "../../../src/agent/store-wait.js";
import { RipstopError } from "../../../src/lib/errors.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

const away = new RipstopError("STORE_UNAVAILABLE", "etcd does not answer; look at it");

test("a store that is away is asked again every second and its answer is taken", async () => {
  const clock = new ManualClock();
  let asked = 0;
  const ask = async () => {
    asked++;
    if (asked < 4) throw away;
    return "leases";
  };
  const answer = untilStoreAnswers("the leases", ask, { clock, logger: silentLogger() }, new AbortController().signal);
  for (const round of [1, 2, 3]) {
    await until(`question ${round}`, () => asked === round);
    await new Promise(setImmediate);
    clock.advance(1_000);
  }
  assert.equal(await answer, "leases");
});

test("the caller may go on with something else instead", async () => {
  const given = { clock: new ManualClock(), logger: silentLogger() };
  const ask = () => Promise.reject(away);
  const answer = await untilStoreAnswers("it", ask, given, new AbortController().signal, () => "remembered");
  assert.equal(answer, "remembered");
});

test("the end of the agent ends the wait, as no failure", async () => {
  const given = { clock: new ManualClock(), logger: silentLogger() };
  const end = new AbortController();
  const waiting = untilStoreAnswers("the leases", () => Promise.reject(away), given, end.signal);
  await new Promise(setImmediate);
  end.abort();
  await assert.rejects(waiting, {
    code: "START_INTERRUPTED",
    exitCode: 0,
    message: "stopped while waiting for the leases",
  });
});
