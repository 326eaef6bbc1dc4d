// The supervisor against real sockets and a data-plane process that is played by this one.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { LaunchedProcess } from "../../../src/agent/dataplane-process.js";
import { type DataplaneState, type DesiredDataplane, Supervisor } from "../../../src/agent/supervisor.js";
import { DataplaneClient } from "../../../src/dataplane/client.js";
import { DataplaneServer } from "../../../src/dataplane/server.js";
import { successorPathOf } from "../../../src/dataplane/socket-path.js";
import { systemClock } from "../../../src/lib/clock.js";
import { ripstopVersion } from "../../../src/lib/version.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";

/** A data-plane process without a process: a server in this one, which can be made to vanish like a crash. */
class FakeHost {
  readonly socketPath: string;
  readonly binding = new FakeBinding();
  launches = 0;
  /** The newest that lives. */
  server: DataplaneServer | null = null;
  alive = 0;
  endsAtOnce: string | null = null;

  readonly version: string | undefined;

  constructor(socketPath: string, version?: string) {
    this.socketPath = socketPath;
    this.version = version;
  }

  readonly launch = (path: string): LaunchedProcess => {
    this.launches++;
    if (this.endsAtOnce !== null) return { pid: 4242, exited: Promise.resolve(this.endsAtOnce) };
    const server = new DataplaneServer(() => this.binding, {
      ...(this.version === undefined ? {} : { version: this.version }),
      onShutdown: () => void this.#end(server),
      onEvent: () => {},
    });
    this.server = server;
    this.alive++;
    void server.listen(path);
    return { pid: 4242, exited: new Promise(() => {}) };
  };

  async crash(): Promise<void> {
    if (this.server !== null) await this.#end(this.server);
  }

  async #end(server: DataplaneServer): Promise<void> {
    if (this.server === server) this.server = null;
    this.alive--;
    await server.stop();
  }
}

let folder: string;
/** Long: a machine that stalls must not make a silent data plane of one in the same process. */
const DEADLINE_MS = 30_000;
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
    {
      socketPath: host.socketPath,
      launch: host.launch,
      clock: systemClock,
      logger: silentLogger(),
      deadlineMs: DEADLINE_MS,
    },
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
  for await (const state of supervisor.state.follow(AbortSignal.timeout(30_000))) if (wanted(state)) return state;
  assert.fail(`state stayed ${JSON.stringify(supervisor.state.current)}`);
}

async function condition(met: () => boolean): Promise<void> {
  const limit = Date.now() + 30_000;
  while (!met()) {
    assert.ok(Date.now() < limit, "the condition was not met in 30 s");
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

test("other options are opened by a successor, which then is the only one", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  supervisor.want(wish(1, "eth0 2", openOptions({ underlayPort: "packet" })));
  await condition(() => host.binding.opened[1]?.tables.length === 1);
  await condition(() => host.binding.opened[0]?.closed === 1 && host.alive === 1);
  assert.equal(host.launches, 2);
  await condition(() => !existsSync(successorPathOf(host.socketPath)));
  const observer = await DataplaneClient.connect(host.socketPath, { deadlineMs: DEADLINE_MS });
  assert.equal((await observer.hello("observe")).opened?.underlayPort, "packet");
  observer.disconnect();
});

test("a successor that cannot open with other options leaves the packets to the kernel's path", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  host.binding.refuse = { code: "TAP_OPEN_FAILED", errno: 1, op: "ioctl(TUNSETIFF)", detail: "" };
  supervisor.want(wish(1, "eth0 2", openOptions({ disable: ["tcx"] })));
  await until(supervisor, (now) => now.phase !== "running" && (now.reason ?? "").includes("CAP_NET_ADMIN"));
  assert.equal(host.binding.opened[0]?.closed, 1);
  host.binding.refuse = null;
  await until(supervisor, isRunning);
  assert.deepEqual(host.binding.opened[1]?.options.disable, ["tcx"]);
});

test("a data plane of another version is replaced, with both open until the successor carries", async () => {
  const other = new FakeHost(host.socketPath, "0.0.9");
  other.launch(host.socketPath);
  await condition(() => existsSync(host.socketPath));
  const agent = await DataplaneClient.connect(host.socketPath, { deadlineMs: DEADLINE_MS });
  await agent.hello("control");
  await agent.open(openOptions(), "eth0 2");
  await agent.apply(table(1));
  agent.disconnect();
  host.binding.onOpen = () =>
    assert.equal(other.binding.opened[0]?.closed, 0, "the old one is open when the new one opens");
  const state = await until(run(supervise()), (now) => isRunning(now) && now.version === ripstopVersion());
  assert.equal(state.restarts, 0);
  assert.equal(other.binding.opened[0]?.closed, 1);
  assert.equal(host.binding.opened.length, 1);
});

test("a data plane of another version goes on when its successor cannot open", async () => {
  const other = new FakeHost(host.socketPath, "0.0.9");
  other.launch(host.socketPath);
  await condition(() => existsSync(host.socketPath));
  const agent = await DataplaneClient.connect(host.socketPath, { deadlineMs: DEADLINE_MS });
  await agent.hello("control");
  await agent.open(openOptions(), "eth0 2");
  agent.disconnect();
  host.binding.refuse = { code: "BPF_LOAD_FAILED", errno: 22, op: "bpf(BPF_PROG_LOAD)", detail: "" };
  const state = await until(run(supervise()), (now) => isRunning(now) && now.reason !== null);
  assert.match(state.reason ?? "", /another version/);
  assert.equal(state.version, "0.0.9");
  assert.equal(other.binding.opened[0]?.closed, 0);
  assert.equal(other.binding.opened[0]?.tables.length, 1, "and gets the newest table");
  stop.abort();
  await Promise.all(running);
  await other.crash();
});

test("what a dying agent left of a succession is found: a lone successor is promoted", async () => {
  host.launch(successorPathOf(host.socketPath));
  await condition(() => existsSync(successorPathOf(host.socketPath)));
  const agent = await DataplaneClient.connect(successorPathOf(host.socketPath), { deadlineMs: DEADLINE_MS });
  await agent.hello("control");
  await agent.open(openOptions(), "eth0 2");
  agent.disconnect();
  const state = await until(run(supervise()), isRunning);
  assert.equal(state.adopted, true);
  assert.equal(host.launches, 1);
  assert.equal(existsSync(host.socketPath), true);
});

test("a device that was made again is opened by a successor, options unchanged", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  supervisor.want(wish(1, "eth0 7"));
  await condition(() => host.binding.opened[1]?.tables.length === 1);
  await condition(() => host.binding.opened[0]?.closed === 1 && host.alive === 1);
});

test("while a successor gets ready, newer tables go to the one that carries, and the successor begins with the newest", async () => {
  const supervisor = run(supervise());
  await until(supervisor, isRunning);
  // Both at once, as after a change of the underlay's address: what carries must not go on with the old one's.
  supervisor.want(wish(2, "eth0 7"));
  host.binding.onOpen = () => supervisor.want(wish(3, "eth0 7"));
  await condition(() => host.binding.opened[0]?.closed === 1 && host.alive === 1);
  assert.equal(host.binding.opened[0]?.tables[1]?.[8], 2);
  assert.equal(host.binding.opened[1]?.tables[0]?.[8], 3);
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
