// `ripstop status` has 300 ms, whatever hangs.
// Alone: it judges times.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { LabNode } from "../../src/lab/plan.js";
import { ripstop } from "../support/node-commands.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

const runDir = (node: LabNode) => `--run-dir=${node.directory}/run`;

/** What Node takes to start on this machine at this moment belongs to nobody. */
function cost(node: LabNode, args: readonly string[]): number {
  const time = (body: () => void): number => {
    const start = performance.now();
    body();
    return performance.now() - start;
  };
  const rounds = Array.from({ length: 5 }, () => {
    const bare = time(() => void spawnSync("ip", ["netns", "exec", node.namespace, process.execPath, "-e", "0"]));
    return time(() => void ripstop(node, ...args)) - bare;
  });
  return Math.min(...rounds);
}

test("status answers within 300 ms when all is well, when the store is away, and when the data plane hangs", {
  skip: rootNeeded,
}, async () => {
  await withLab({ nodes: 2, dataplane: "userspace" }, async (plan) => {
    const [one] = plan.nodes as readonly [LabNode];
    const args = ["status", runDir(one)];
    // 300 ms, of which a start of Node takes 40 to 50 on a quiet machine.
    const limit = 250;
    assert.ok(cost(one, args) < limit, "well");
    const { dataplane } = JSON.parse(ripstop(one, ...args, "-o", "json").stdout) as { dataplane: { pid: number } };
    process.kill(dataplane.pid, "SIGSTOP");
    try {
      assert.match(ripstop(one, ...args).stdout, /data plane +silent/);
      assert.ok(cost(one, args) < limit, "data plane hangs");
    } finally {
      process.kill(dataplane.pid, "SIGCONT");
    }
    renameSync(join(plan.directory, "store"), join(plan.directory, "store.away"));
    await until("the store is missed", () => /store is not connected/.test(ripstop(one, ...args).stdout));
    assert.ok(cost(one, args) < limit, "store is away");
  });
});
