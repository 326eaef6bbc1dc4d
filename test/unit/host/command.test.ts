// Programs that are run to their end, and what is left of them here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "../../../src/host/command.js";

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

test("a program that is not there is an error, and nothing waits for its end", async () => {
  const before = timers();
  await assert.rejects(runCommand(["/nonexistent/program"]), { code: "COMMAND_MISSING" });
  assert.equal(timers(), before);
});

test("a program that takes too long is killed", async () => {
  assert.equal((await runCommand(["sleep", "1000"], { timeLimitMs: 20 })).code, null);
});

test("a program gets its input and variables, and every exit code is an answer", async () => {
  const script = 'read -r line; echo "$line $NAME"; echo why >&2; exit 3';
  const result = await runCommand(["/bin/sh", "-c", script], { input: "in\n", environment: { NAME: "x" } });
  assert.deepEqual(result, { code: 3, stdout: "in x\n", stderr: "why\n" });
});
