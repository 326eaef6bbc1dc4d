// What a dead or stopped etcd costs a numbered stream between two nodes: nothing, and no node loses a peer.
//   p1 - n1 (agent, data plane) - switch (etcd) - n2 (agent, data plane) - p2
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import type { AgentStatus } from "../../src/agent/status.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, testPrefix, withLab } from "../support/lab.js";

const OPTIONS = { store: "etcd", dataplane: "userspace" } as const;
/** A black hole says nothing; silence has to be noticed within this. */
const NOTICED_MS = 20_000;
const RECOVERED_MS = 5_000;

for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
  test(`${signal} of etcd costs the traffic nothing and withdraws no peer`, { skip: rootNeeded }, async (context) => {
    await withLab(OPTIONS, async (plan) => {
      const [one, other] = plan.nodes as readonly [LabNode, LabNode];
      const server = await findDaemon(plan.directory, "etcd");
      assert.ok(server !== null);
      const traffic = await startTraffic(one, other);
      process.kill(server.pid, signal);
      const begin = performance.now();
      try {
        for (const node of plan.nodes) await untilConnected(node, false, NOTICED_MS);
        context.diagnostic(`noticed after ${(performance.now() - begin).toFixed(0)} ms`);
        assert.equal(await traffic.lost(), 0);
      } finally {
        if (signal === "SIGSTOP") process.kill(server.pid, "SIGCONT");
      }
      if (signal === "SIGKILL") await again(plan);
      const back = performance.now();
      for (const node of plan.nodes) await untilConnected(node, true, RECOVERED_MS);
      context.diagnostic(`recovered after ${(performance.now() - back).toFixed(0)} ms`);
    });
  });
}

/** A ping every 5 ms until its losses are asked for. */
async function startTraffic(from: LabNode, to: LabNode): Promise<{ readonly lost: () => Promise<number> }> {
  const subnet = await readSubnetFile(labFiles.subnetFile(to));
  assert.ok(subnet !== null);
  const stop = new AbortController();
  const next = () => new PingRun({ from: from.pod, address: podAddress(subnet), count: 200, intervalMs: 5 });
  const first = next();
  const running = (async () => {
    let lost = 0;
    for (let ping = first; ; ping = next()) {
      lost += (await ping.result()).lost;
      if (stop.signal.aborted) return lost;
    }
  })();
  await waitFor("the ping to be under way", async () => first.answers >= 20 || null, { timeoutMs: 10_000, everyMs: 1 });
  return {
    lost: () => {
      stop.abort();
      return running;
    },
  };
}

/** Its peers are looked at all the time. */
async function untilConnected(node: LabNode, connected: boolean, timeoutMs: number): Promise<void> {
  const asked = async (): Promise<true | null> => {
    const agent = await statusOf(node);
    assert.equal(agent.peers.length, 1, `${node.namespace} has lost its peer: ${agent.reasons.join()}`);
    return agent.store.connected === connected || null;
  };
  const what = `${node.namespace} to be ${connected ? "connected" : "not connected"}`;
  await waitFor(what, asked, { timeoutMs, everyMs: 20 });
}

async function statusOf(node: LabNode): Promise<AgentStatus> {
  const { agent, reasons } = await readNodeStatus(runPaths(join(node.directory, "run")));
  assert.ok(agent !== null, reasons.join());
  return agent;
}

async function again(plan: LabPlan): Promise<void> {
  const options = { ...DEFAULT_OPTIONS, ...OPTIONS, prefix: testPrefix };
  await labUp(options, { directory: plan.directory, report: () => undefined });
}
