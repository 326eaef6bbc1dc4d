// The supervisor against real sockets and a data-plane process that is played by this one.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { LaunchedProcess } from "../../../src/agent/dataplane-process.js";
import { type DataplaneState, type DesiredDataplane, Supervisor } from "../../../src/agent/supervisor.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { systemClock } from "../../../src/lib/clock.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";

/** A data-plane process without a process: a server in this one, which can be made to vanish like a crash. */
class FakeHost {
  readonly socketPath: string;
  readonly binding = new FakeBinding();
  launches = 0;
  server: DataplaneServer | null = null;
  endsAtOnce: string | null = null;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  readonly launch = (): LaunchedProcess => {
    this.launches++;
    if (this.endsAtOnce !== null) return { pid: 4242, exited: Promise.resolve(this.endsAtOnce) };
    this.server = new DataplaneServer(() => this.binding, { onShutdown: () => void this.crash(), onEvent: () => {} });
    void this.server.listen(this.socketPath);
    return { pid: 4242, exited: new Promise(() => {}) };
  };

  async crash(): Promise<void> {
    await this.server?.stop();
    this.server = null;
  }
}

let folder: string;
let host: FakeHost;
let stop: AbortController;
const running: Array<Promise<void>> = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ripstop-supervisor-"));
  host = new FakeHost(join(folder, "dp.sock"));
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await Promise.all(running.splice(0));
  await host.crash();
  rmSync(folder, { recursive: true });
});

function wish(version: number, incarnation = "eth0 2", options = openOptions()): DesiredDataplane {
  return { options, incarnation, table: table(version) };
}

function supervise(desired = wish(1)): Supervisor {
  return new Supervisor(
    { socketPath: host.socketPath, launch: host.launch, clock: systemClock, logger: silentLogger(), deadlineMs: 500 },
    desired,
  );
}

function run(supervisor: Supervisor): Supervisor {
  running.push(supervisor.run(stop.signal));
  return supervisor;
}

/** A flat table that only states its version. */
function table(version: number): Uint8Array {
  const bytes = new Uint8Array(72);
  bytes[8] = version;
  return bytes;
}

async function until(supervisor: Supervisor, wanted: (state: DataplaneState) => boolean): Promise<DataplaneState> {
  for await (const state of supervisor.state.follow(AbortSignal.timeout(5_000))) if (wanted(state)) return state;
  assert.fail(`state stayed ${JSON.stringify(supervisor.state.current)}`);
}

async function condition(met: () => boolean): Promise<void> {
  const limit = Date.now() + 5_000;
  while (!met()) {
    assert.ok(Date.now() < limit, "the condition was not met in 5 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const isRunning = (state: DataplaneState) => state.phase === "running";

test("without a data plane one is started, opened and given the table", async () => {
  const state = await until(run(supervise()), isRunning);
  assert.equal(host.launches, 1);
  assert.deepEqual(host.binding.opened[0]?.options, openOptions());
  assert.equal(host.binding.opened[0]?.tables.length, 1);
  assert.equal(state.adopted, false);
});

test("a running data plane with the wanted options is adopted: neither started nor opened again", async () => {
  await until(run(supervise()), isRunning);
  stop.abort();
  await Promise.all(running);
  assert.equal(host.binding.opened[0]?.closed, 0, "the agent's end leaves the data plane running");
  stop = new AbortController();
  const state = await until(run(supervise(wish(2))), isRunning);
  assert.equal(state.adopted, true);
  assert.equal(host.launches, 1);
  assert.equal(host.binding.opened.length, 1);
  assert.deepEqual(
    host.binding.opened[0]?.tables.map((bytes) => bytes[8]),
    [1, 2],
  );
});

test("other options reopen the data plane in the same process", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  supervisor.want(wish(1, "eth0 2", openOptions({ underlayPort: "packet" })));
  await condition(() => host.binding.opened[1]?.tables.length === 1);
  assert.equal(host.binding.opened[0]?.closed, 1);
  assert.equal(host.launches, 1);
});

test("a device that was made again reopens the data plane, options unchanged", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  supervisor.want(wish(1, "eth0 7"));
  await condition(() => host.binding.opened[1]?.tables.length === 1);
  assert.equal(host.binding.opened[0]?.closed, 1);
});

test("only the newest table of a burst needs to arrive, and it does", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  for (let version = 2; version <= 200; version++) supervisor.want(wish(version));
  await condition(() => host.binding.opened[0]?.tables.at(-1)?.[8] === 200);
  assert.ok((host.binding.opened[0]?.tables.length ?? 0) < 200);
});

test("after a crash it is started again with the current table", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  await host.crash();
  const state = await until(supervisor, (now) => now.restarts === 1 && isRunning(now));
  assert.equal(host.launches, 2);
  assert.equal(host.binding.opened[1]?.tables.length, 1);
  assert.equal(state.reason, null);
});

test("what cannot be opened is tried again, says why, and leaves the process alone", async () => {
  host.binding.refuse = { code: "TAP_OPEN_FAILED", errno: 1, op: "ioctl(TUNSETIFF)", detail: "" };
  const supervisor = run(supervise());
  const state = await until(supervisor, (now) => now.phase === "unavailable");
  assert.match(state.reason ?? "", /CAP_NET_ADMIN/);
  host.binding.refuse = null;
  await until(supervisor, isRunning);
  assert.equal(host.launches, 1);
});

test("start rejects with the reason when user space is demanded, and shutdown ends what was started", async () => {
  host.binding.refuse = { code: "BPF_LOAD_FAILED", errno: 1, op: "bpf(BPF_PROG_LOAD)", detail: "" };
  const supervisor = supervise();
  await assert.rejects(supervisor.start(stop.signal), { code: "BPF_LOAD_FAILED", message: /CAP_BPF/ });
  await supervisor.shutdown();
  assert.equal(host.server, null);
});

test("a process that ends at once is reported with its last words", async () => {
  host.endsAtOnce = "exit code 1: ripstop: cannot load";
  await assert.rejects(supervise().start(stop.signal), {
    code: "DATAPLANE_START_FAILED",
    message: /exit code 1: ripstop: cannot load/,
  });
});

test("a refused table keeps the one before and says so, while packets go on", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  const native = host.binding.opened[0];
  assert.ok(native);
  native.refuse = { code: "TABLE_INVALID", errno: 0, op: "apply", detail: "peer 3" };
  supervisor.want(wish(2));
  const state = await until(supervisor, (now) => now.reason !== null);
  assert.equal(state.phase, "running");
  assert.match(state.reason ?? "", /peer 3/);
  native.refuse = null;
  supervisor.want(wish(3));
  await until(supervisor, (now) => now.reason === null);
});
