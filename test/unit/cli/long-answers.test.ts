// A long answer reaches a slow reader whole: exit does not cut off what a socket has not taken yet.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { runPaths } from "../../../src/agent/run-dir.js";
import { ripstopVersion } from "../../../src/lib/version.js";
import { until } from "../../support/until.js";

const RIPSTOP = fileURLToPath(new URL("../../../../bin/ripstop", import.meta.url));

test("status of 20,000 peers is whole JSON on a socket", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-long-"));
  // The server lives in a thread of its own: spawnSync, whose standard output is a socket, stops this one.
  const worker = new Worker(
    `const { createServer } = require("node:net"); const { workerData, parentPort } = require("node:worker_threads");
     createServer((socket) => { socket.on("error", () => {}); socket.end(workerData.text); }).listen(workerData.path, () => parentPort.postMessage("up"));`,
    {
      eval: true,
      workerData: {
        path: runPaths(folder).agentSocket,
        text: JSON.stringify({
          version: ripstopVersion(),
          condition: "ok",
          reasons: [],
          dataplane: { mode: "kernel", phase: "off", reason: null },
          peers: Array.from({ length: 20_000 }, (_, index) => ({ lease: `lease-${index}`, prefix: "10.244.0.0/24" })),
        }),
      },
    },
  );
  try {
    await new Promise((resolve) => worker.once("message", resolve));
    let agent: { readonly peers: readonly unknown[] } | null = null;
    // A second is all that it gives an agent, of which a busy machine may need more.
    await until("status in time", () => {
      const { stdout } = spawnSync(process.execPath, [RIPSTOP, "status", "-o", "json", "--run-dir", folder], {
        encoding: "utf8",
        maxBuffer: 1 << 26,
      });
      agent = (JSON.parse(stdout) as { agent: typeof agent }).agent;
      return agent !== null;
    });
    assert.equal((agent as { readonly peers: readonly unknown[] } | null)?.peers.length, 20_000);
  } finally {
    await worker.terminate();
    rmSync(folder, { recursive: true });
  }
});
