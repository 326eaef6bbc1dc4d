// What the service manager hears of a wedged agent: nothing that keeps its watchdog quiet.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepServiceManagerInformed } from "../../../src/agent/service-notifier.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { ManualClock } from "../../support/manual-clock.js";

const settle = async () => {
  for (let ticks = 0; ticks < 10; ticks++) await new Promise(setImmediate);
};

test("signs of life stop while the agent is wedged, with the reason, and go on after it", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const told: string[] = [];
  let wedged: string | null = null;
  const running = keepServiceManagerInformed(
    {
      manager: { socket: "/run/notify", watchdogMs: 1_000 },
      notify: (_socket, state) => {
        told.push(state);
        return null;
      },
      isReady: () => true,
      describe: () => "ok, 2 peers",
      wedged: () => wedged,
      clock,
      logger: silentLogger(),
    },
    stop.signal,
  );
  const heard = async () => {
    clock.advance(1_000);
    await settle();
    return told.splice(0);
  };
  await settle();
  assert.deepEqual(told.splice(0), ["READY=1\nSTATUS=ok, 2 peers", "WATCHDOG=1", "STATUS=ok, 2 peers"]);
  assert.deepEqual(await heard(), ["WATCHDOG=1"]);
  wedged = "no pass has ended for 301 s";
  assert.deepEqual(await heard(), ["STATUS=no pass has ended for 301 s"]);
  assert.deepEqual(await heard(), []);
  wedged = null;
  assert.deepEqual(await heard(), ["WATCHDOG=1", "STATUS=ok, 2 peers"]);
  stop.abort();
  clock.advance(1_000);
  await running;
  assert.equal(told.at(-1), "STOPPING=1");
});
