// Real processes: `ripstop dataplane` with an addon whose native part is JavaScript, started and supervised as the agent does.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { dataplaneLauncher } from "../../../src/agent/dataplane-process.js";
import { type DataplaneState, Supervisor } from "../../../src/agent/supervisor.js";
import { BORDER_VERSION } from "../../../src/dataplane/native.js";
import { pidPathOf } from "../../../src/dataplane/socket-path.js";
import { systemClock } from "../../../src/lib/clock.js";
import { identifyProcess, isRunning, readPidFile, signalProcess } from "../../../src/lib/process-identity.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { openOptions } from "../../support/fake-binding.js";
import { until as condition } from "../../support/until.js";

const RIPSTOP = fileURLToPath(new URL("../../../../bin/ripstop", import.meta.url));
const ADDON = `
const native = { apply: () => null, readCounters: () => {}, close: () => {},
  inspect: () => ({ running: true, tableVersion: 0n, peers: 0, ports: [], steering: "none", heartbeatAgeMs: 0, framesTotal: 0, framesFree: 0, perWorker: [], pathMtu: { listener: "on", heard: 0n, learned: 0n, pathsLowered: 0 } }) };
module.exports = { borderVersion: ${BORDER_VERSION}, confineProcess: () => null, peerUid: () => 0, counterLayout: [], dropReasons: [], open: () => native };
`;

let folder: string;
let socketPath: string;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ripstop-process-"));
  socketPath = join(folder, "dp.sock");
  writeFileSync(join(folder, "addon.cjs"), ADDON);
  stop = new AbortController();
  running = Promise.resolve();
});

afterEach(async () => {
  stop.abort();
  await running;
  const left = readPidFile(pidPathOf(socketPath));
  if (left !== null) signalProcess(left, "SIGKILL");
  rmSync(folder, { recursive: true });
});

/** Long: a machine that stalls must not make a silent data plane. */
const PATIENT = { deadlineMs: 10_000, hangMs: 60_000 };

function supervise(addon = join(folder, "addon.cjs"), patience = PATIENT): Supervisor {
  const launch = dataplaneLauncher({
    command: [process.execPath, RIPSTOP, "dataplane"],
    logPath: join(folder, "dp.log"),
    environment: { RIPSTOP_NATIVE_PATH: addon },
  });
  return new Supervisor(
    { socketPath, launch, clock: systemClock, logger: silentLogger(), ...patience },
    { options: openOptions(), incarnation: "", table: null },
  );
}

function run(supervisor: Supervisor): Supervisor {
  running = supervisor.run(stop.signal);
  return supervisor;
}

async function until(supervisor: Supervisor, wanted: (state: DataplaneState) => boolean): Promise<DataplaneState> {
  for await (const state of supervisor.state.follow(AbortSignal.timeout(60_000))) if (wanted(state)) return state;
  assert.fail(
    `state stayed ${JSON.stringify(supervisor.state.current)}; log: ${readFileSync(join(folder, "dp.log"), "utf8")}`,
  );
}

test("the data-plane process has its own session, a private socket, and outlives its starter", async () => {
  const { pid } = await until(run(supervise()), (state) => state.phase === "running");
  assert.ok(pid !== null);
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const session = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3];
  assert.equal(session, String(pid));
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  stop.abort();
  await running;
  assert.ok(identifyProcess(pid) !== null);
});

test("SIGTERM ends it in order: no socket, no pid file left", async () => {
  const child = spawn(process.execPath, [RIPSTOP, "dataplane", "--socket", socketPath], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const chunk of child.stderr) if (String(chunk).includes("ready")) child.kill("SIGTERM");
  assert.equal(child.exitCode ?? (await new Promise((resolve) => child.once("exit", resolve))), 0);
  assert.equal(existsSync(socketPath), false);
  assert.equal(existsSync(pidPathOf(socketPath)), false);
});

test("a killed data plane is started again", async () => {
  const supervisor = run(supervise());
  const { pid } = await until(supervisor, (state) => state.phase === "running");
  process.kill(pid as number, "SIGKILL");
  const after = await until(supervisor, (state) => state.phase === "running" && state.restarts === 1);
  assert.notEqual(after.pid, pid);
});

test("a stopped data plane is killed after its time and started again", async () => {
  const supervisor = run(supervise(undefined, { deadlineMs: 500, hangMs: 2_000 }));
  const { pid } = await until(supervisor, (state) => state.phase === "running");
  const before = readPidFile(pidPathOf(socketPath));
  assert.equal(before?.pid, pid);
  process.kill(pid as number, "SIGSTOP");
  await until(supervisor, (state) => state.phase === "waiting");
  await until(supervisor, (state) => state.phase === "running" && state.pid !== pid);
  await condition("the stopped one is gone", () => before !== null && !isRunning(before));
});

test("an addon that cannot be loaded is the reason that the supervisor gives", async () => {
  const supervisor = supervise(join(folder, "missing.node"));
  await assert.rejects(supervisor.start(stop.signal), {
    code: "NATIVE_LOAD_FAILED",
    message: /missing\.node \(no such file\)/,
  });
  await supervisor.shutdown();
});

test("a second data plane at the same socket is refused in one line", async () => {
  await until(run(supervise()), (state) => state.phase === "running");
  const second = spawnSync(process.execPath, [RIPSTOP, "dataplane", "--socket", socketPath], { encoding: "utf8" });
  assert.equal(second.status, 1);
  assert.match(second.stderr, /^ripstop: another data plane answers at .*cleanup.*\n$/);
});
