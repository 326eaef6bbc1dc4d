// Whether a recorded process is still the same process.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { identify, isAlive, parseStat, stopProcesses } from "../../../src/lab/process-record.js";

test("a stat line is read although the command name holds spaces and brackets", () => {
  const line = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 98765 1 2 3";
  assert.deepEqual(parseStat(line), { pid: 42, startTicks: 98765, state: "S" });
  assert.equal(parseStat(""), null);
  assert.equal(parseStat("nonsense"), null);
});

test("a pid with another start time is another process and is never signalled", async () => {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const identity = await identify(child.pid ?? 0);
  assert.ok(identity !== null);
  const recycled = { pid: identity.pid, startTicks: identity.startTicks + 1 };
  assert.equal(await isAlive(recycled), false);
  await stopProcesses([recycled], 1000);
  assert.equal(await isAlive(identity), true);
  await stopProcesses([identity], 1000);
  await ended;
  assert.equal(await isAlive(identity), false);
});
