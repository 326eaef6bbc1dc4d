// What the doctor says of an agent: the remedy fits whether there is none, or one that does not answer.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "../../../src/agent/node-status.js";
import { checkAgent } from "../../../src/doctor/agent-checks.js";

const down = (reason: string): NodeStatus => ({
  condition: "down",
  reasons: [reason],
  agent: null,
  dataplane: { state: "absent", pid: null, version: null, inspection: null, counters: null, workerCounters: null },
});

test("an agent that is not there is started, one that does not answer is started again", () => {
  const absent = checkAgent(down("no agent runs here (nobody answers at /run/ripstop/agent.sock: ENOENT)"));
  assert.deepEqual([absent.verdict, absent.fix.split(";")[0]], ["fail", "systemctl start ripstop"]);
  for (const reason of ["is stopped (SIGSTOP or a debugger)", "does not answer"]) {
    const hung = checkAgent(down(`the agent at /run/ripstop/agent.sock ${reason}`));
    assert.match(hung.value, /the agent at /);
    assert.match(hung.fix, /^systemctl restart ripstop: .* kill -CONT /);
  }
});
