// What a running agent shows to programs: probes, metrics, the status page, the service manager, its log.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { METRICS } from "../../src/agent/metrics-page.js";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { exitOf } from "../support/node-commands.js";
import { rootNeeded } from "../support/lab.js";
import { pause, resume } from "../support/pause.js";
import { until } from "../support/until.js";

const PORT = 18081;
const HEALTH = [`--healthz-port=${PORT}`, "--healthz-ip=127.0.0.1"];

const page = readFileSync(new URL("../../../docs/metrics.md", import.meta.url), "utf8");
const listedInDocs = new Set([...page.matchAll(/^\| `ripstop_(\w+)` \|/gm)].map(([, name]) => name));
/** Not of a TAP port with the file store; the test of an AF_XDP port below has most of them. */
const NOT_ALWAYS = new Set(["lease_expiry_seconds", "watch_resyncs_total", "xsk_mode", "xsk_ring_frames"]);

function served(metrics: string): ReadonlySet<string> {
  return new Set([...metrics.matchAll(/^# HELP ripstop_(\w+) /gm)].map(([, name = ""]) => name));
}

/** HTTP from inside the host's namespace. */
function get(
  host: AgentHost,
  path: string,
): { readonly status: number; readonly headers: string; readonly body: string } {
  const script = `const r=await fetch("http://127.0.0.1:${PORT}${path}");process.stdout.write(JSON.stringify({status:r.status,headers:[...r.headers].join("\\n"),body:await r.text()}))`;
  const argv = ["netns", "exec", host.namespace, process.execPath, "--input-type=module", "-e", script];
  return JSON.parse(execFileSync("ip", argv, { encoding: "utf8" })) as never;
}

function value(metrics: string, name: string): number {
  const line = metrics.split("\n").find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  assert.ok(line !== undefined, `${name} is not there:\n${metrics}`);
  return Number(line.slice(line.lastIndexOf(" ") + 1));
}

test("probes, metrics and the status page say how agent and data plane are", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent([...HEALTH, "--dataplane=userspace"]);
    await until(
      "data plane and agent to answer",
      () => value(get(host, "/metrics").body, "ripstop_dataplane_up") === 1,
    );
    assert.deepEqual([get(host, "/healthz").status, get(host, "/healthz").body], [200, "flanneld is running"]);
    assert.equal(get(host, "/readyz").body, "flanneld is ready");
    const ready = () => get(host, "/readyz?verbose").body;
    const well = /^flanneld is ready\ncondition ok\nstore file connected\ndata plane running$/;
    await until("all is well", () => well.test(ready())).catch(() => assert.match(ready(), well));
    // Some tell of what the agent does once it is ready.
    const missing = () => {
      const families = served(get(host, "/metrics").body);
      return Object.keys(METRICS).filter((name) => !families.has(name) && !NOT_ALWAYS.has(name));
    };
    await until("every metric is served", () => missing().length === 0).catch(() => assert.deepEqual(missing(), []));
    const { body, headers } = get(host, "/metrics");
    assert.match(headers, /content-type,text\/plain; version=0\.0\.4/);
    const out = execFileSync("promtool", ["check", "metrics"], { input: body, encoding: "utf8" });
    assert.equal(out, "");
    for (const name of served(body)) assert.ok(listedInDocs.has(name), `${name} is not in docs/metrics.md`);
    assert.equal(value(body, "ripstop_ready"), 1);
    assert.equal(value(body, "ripstop_dataplane_up"), 1);
    assert.match(body, /^ripstop_dataplane_port_info\{side="underlay",kind="tap",mode="[^"]+"\} 1$/m);
    assert.match(body, /^ripstop_dataplane_drops_total\{direction="decap",reason="unknown_peer"\} 0$/m);

    const page = get(host, "/");
    assert.match(page.headers, /content-security-policy,default-src 'none'; connect-src 'self'/);
    assert.doesNotMatch(page.body, /\b(src|href)="(?!data:)/);
    const status = JSON.parse(get(host, "/status.json").body) as {
      agent: { condition: string };
      dataplane: { state: string };
    };
    assert.deepEqual([status.agent.condition, status.dataplane.state], ["ok", "running"]);

    const plane = host.dataplane?.pid ?? assert.fail("no data plane");
    await pause(plane);
    assert.equal(value(get(host, "/metrics").body, "ripstop_dataplane_up"), 0);
    assert.equal(get(host, "/healthz").status, 200);
    resume(plane);
    host.hideStore();
    await until("the store is missed", () => value(get(host, "/metrics").body, "ripstop_datastore_up") === 0);
    assert.equal(get(host, "/readyz").status, 200);
    host.showStore();
  });
});

test("workers, queues and rings of an AF_XDP port are told apart", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent([...HEALTH, "--dataplane=userspace", "--underlay-port=xdp"]);
    const { body } = get(host, "/metrics");
    assert.equal(execFileSync("promtool", ["check", "metrics"], { input: body, encoding: "utf8" }), "");
    assert.match(body, /^ripstop_xsk_mode\{iface="eth0",queue="0",mode="native copy"\} 1$/m);
    const free = /^ripstop_xsk_ring_frames\{iface="eth0",queue="0",ring="fill"\} (\d+)$/m.exec(body)?.[1];
    assert.ok(Number(free) > 0, `${free} frames to receive into`);
    assert.match(body, /^ripstop_dataplane_rx_packets_total\{direction="decap",queue="0"\} \d+$/m);
    const count = value(body, "ripstop_reconcile_duration_seconds_count");
    assert.equal(value(body, 'ripstop_reconcile_duration_seconds_bucket{le="+Inf"}'), count);
    assert.ok(count > 0);

    const top = host.ripstop("top", "--run-dir", host.runDir, "-n", "1", "-i", "0.2");
    assert.match(
      top.stdout,
      /^WORKER +PORT +RX PKT\/S .*RINGS\n0 +overlay tap .*frames free\n0 +underlay xdp .* eth0 queue 0: rx \d+, free \d+, tx 0 of \d+; 0 dropped before$/m,
      top.stderr,
    );
  });
});

test("the service manager is told of readiness, life and the end", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const socket = join(host.folder, "notify.sock");
    const listener = spawn("python3", [
      "-uc",
      `import socket\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(${JSON.stringify(socket)})\nprint("bound")\nwhile True: print(repr(s.recv(4096).decode()))`,
    ]);
    let heard = "";
    listener.stdout.setEncoding("utf8").on("data", (text: string) => {
      heard += text;
    });
    try {
      await until("somebody listens", () => heard.includes("bound"));
      const agent = await host.startAgent(["--dataplane=kernel"], { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "400000" });
      await until("three signs of life", () => heard.split("'WATCHDOG=1'").length > 3);
      assert.match(heard, /^bound\n'READY=1\\nSTATUS=ok, 0 peers'\n/);
      agent.kill("SIGTERM");
      await exitOf(agent);
      await until("the end is told", () => heard.includes("'STOPPING=1'"));
    } finally {
      listener.kill();
    }
  });
});

test("SIGUSR2 makes a running agent say more, and then as little as before", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const agent = await host.startAgent(["--dataplane=kernel"]);
    const log = () => readFileSync(join(host.folder, "agent0.log"), "utf8");
    for (const level of ["debug", "trace", "info"]) {
      agent.kill("SIGUSR2");
      await until(`level ${level}`, () => log().includes(`"mode":"${level}","msg":"log level changed"}`));
    }
    for (const line of log().trim().split("\n")) assert.match(line, /^\{"level":"\w+","time":"[^"]+Z","pid":\d+,/);
  });
});
