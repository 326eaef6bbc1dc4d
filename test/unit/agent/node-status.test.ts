// What `ripstop status` says of processes that are slow, stopped or gone: answered here by sockets of this test.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { readNodeStatus } from "../../../src/agent/node-status.js";
import { runPaths, type RunPaths } from "../../../src/agent/run-dir.js";
import { sendInspection } from "../../../src/dataplane/inspection-wire.js";
import { pidPathOf } from "../../../src/dataplane/socket-path.js";
import { identifyProcess } from "../../../src/lib/process-identity.js";
import { ripstopVersion } from "../../../src/lib/version.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";
import { pause } from "../../support/pause.js";

let paths: RunPaths;
let servers: Server[];
let sockets: Socket[];
let processes: ChildProcess[];

beforeEach(() => {
  paths = runPaths(mkdtempSync(join(tmpdir(), "ripstop-status-")));
  [servers, sockets, processes] = [[], [], []];
});

afterEach(async () => {
  for (const child of processes) child.kill("SIGKILL");
  for (const socket of sockets) socket.destroy();
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  rmSync(paths.directory, { recursive: true });
});

async function listen(path: string, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

/** An agent whose data plane answered it `ageMs` ago. */
function agentThatHeard(ageMs: number | null): Promise<void> {
  const opened = new FakeBinding().open(openOptions());
  assert.ok("inspect" in opened);
  const heard = ageMs === null ? null : { ageMs, inspection: sendInspection(opened.inspect()) };
  const dataplane = { mode: "auto", phase: "running", reason: null, pid: 4242, version: "1.2.3", restarts: 0, heard };
  const status = { version: ripstopVersion(), condition: "ok", reasons: [], dataplane, peers: [] };
  return listen(paths.agentSocket, (socket) => socket.end(JSON.stringify(status)));
}

async function stoppedProcess(pidPath: string): Promise<void> {
  const child = spawn("sleep", ["600"]);
  processes.push(child);
  const pid = child.pid ?? assert.fail("no process");
  await pause(pid);
  writeFileSync(pidPath, JSON.stringify(identifyProcess(pid)));
}

test("a data plane that is slow to answer is shown as the agent has heard of it lately", async () => {
  await agentThatHeard(900);
  await listen(paths.dataplaneSocket, () => {});
  const { condition, dataplane } = await readNodeStatus(paths, 50);
  assert.equal(condition, "ok");
  assert.deepEqual([dataplane.state, dataplane.pid, dataplane.heardMsAgo], ["running", 4242, 900]);
  assert.equal(typeof dataplane.inspection?.tableVersion, "bigint");
});

test("one that the agent has not heard of for seconds is silent, and the node degraded", async () => {
  for (const ageMs of [2_600, null]) {
    await agentThatHeard(ageMs);
    await listen(paths.dataplaneSocket, () => {});
    const { condition, reasons, dataplane } = await readNodeStatus(paths, 50);
    assert.equal(condition, "degraded");
    assert.match(reasons.join(), /the data-plane process does not answer; the kernel path carries/);
    assert.equal(dataplane.state, "silent");
    for (const server of servers.splice(0)) server.close();
    for (const path of [paths.agentSocket, paths.dataplaneSocket]) rmSync(path, { force: true });
  }
});

test("a stopped data plane is not waited for, and what the agent heard of it before does not count", async () => {
  await agentThatHeard(900);
  await listen(paths.dataplaneSocket, () => assert.fail("it was asked"));
  await stoppedProcess(pidPathOf(paths.dataplaneSocket));
  const { condition, dataplane } = await readNodeStatus(paths, 600_000);
  assert.deepEqual([condition, dataplane.state], ["degraded", "silent"]);
});

test("a stopped agent is not waited for", async () => {
  await listen(paths.agentSocket, () => assert.fail("it was asked"));
  await stoppedProcess(pidPathOf(paths.agentSocket));
  const { condition, reasons } = await readNodeStatus(paths);
  assert.equal(condition, "down");
  assert.match(reasons.join(), /the agent at .* is stopped \(SIGSTOP or a debugger\)/);
});

test("nobody at all is down, with what to do", async () => {
  const { condition, reasons, dataplane } = await readNodeStatus(paths);
  assert.deepEqual([condition, dataplane.state], ["down", "absent"]);
  assert.match(reasons.join(), /no agent runs here \(nobody answers at .*agent\.sock: ENOENT\); start it with/);
});
