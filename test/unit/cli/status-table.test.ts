// Colours are for terminals: the same status in both forms.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "../../../src/agent/node-status.js";
import { formatStatus } from "../../../src/cli/status-table.js";

const DOWN: NodeStatus = {
  condition: "down",
  reasons: ["no agent runs here"],
  agent: null,
  dataplane: { state: "absent", pid: null, version: null, inspection: null, counters: null, workerCounters: null },
};

test("the condition is coloured on request, and nothing else changes", () => {
  const plain = formatStatus(DOWN);
  assert.equal(
    plain,
    "node        down\n            - no agent runs here\ndata plane  absent: the kernel path carries\n",
  );
  assert.equal(formatStatus(DOWN, true), plain.replace("down", "\u001b[31mdown\u001b[0m"));
});
