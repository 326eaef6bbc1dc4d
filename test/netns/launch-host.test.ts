// The agent and the starter of data planes as two containers: neither ends with the other, and no data plane ends with either.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";
import { until } from "../support/until.js";

const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));
const FLAGS = ["--dataplane=userspace", "--dataplane-launch=host"];

async function startHost(host: AgentHost): Promise<ChildProcess> {
  const argv = ["netns", "exec", host.namespace, process.execPath, RIPSTOP, "dataplane", "--host", host.runDir];
  const child = spawn("ip", argv, { stdio: "ignore" });
  const socket = join(host.runDir, "launch.sock");
  await until(
    "the launch host answers",
    () => (statSync(socket, { throwIfNoEntry: false })?.mode ?? 0) % 0o1000 === 0o600,
  );
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

const parentOf = (pid: number) => Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1]);
const running = (host: AgentHost) => host.status().dataplane["state"] === "running";

test("agent, launch host and data plane each restart alone", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    let starter = await startHost(host);
    try {
      await host.startAgent(FLAGS);
      await until("the data plane's pid file", () => host.dataplane !== null);
      const first = host.dataplane ?? assert.fail("it was there");
      assert.equal(parentOf(first.pid), starter.pid, "the launch host started it");

      await host.stopAgents("SIGKILL");
      await host.startAgent(FLAGS);
      await until("the agent carries on", () => running(host));
      assert.deepEqual(host.dataplane, first, "another agent adopts it");

      await kill(starter);
      await until("it goes on", () => running(host));
      assert.deepEqual(host.dataplane, first, "it outlives its starter");

      starter = await startHost(host);
      process.kill(first.pid, "SIGKILL");
      await until("another data plane runs", () => (host.dataplane?.pid ?? first.pid) !== first.pid && running(host));
      assert.equal(parentOf(host.dataplane?.pid ?? 0), starter.pid);
    } finally {
      await kill(starter);
    }
  });
});

test("without a launch host a data plane cannot be had, and the agent says what to run", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    const { status, stderr } = host.runAgent(FLAGS);
    assert.notEqual(status, 0);
    assert.match(stderr, /nobody starts data planes at .*launch\.sock/);
    assert.match(stderr, /ripstop dataplane --host/);
  });
});
