// Two agents on one host: with overlays of their own they do not meet, over the same one the second is refused. And agents
// with few capabilities, whose data planes hold none.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { pidPathOf } from "../../src/dataplane/socket-path.js";
import { readPidFile } from "../../src/lib/process-identity.js";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";
import { until } from "../support/until.js";

const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));

/** Folders and a network configuration for a second agent on the same host. */
function second(host: AgentHost, networkConfig: object) {
  const at = (name: string) => join(host.folder, "second", name);
  mkdirSync(at("store"), { recursive: true });
  writeFileSync(at("store/config"), JSON.stringify(networkConfig));
  const where = [`--run-dir=${at("run")}`, `--state-dir=${at("state")}`, `--subnet-file=${at("subnet.env")}`];
  return { runDir: at("run"), where, flags: [`--store-dir=${at("store")}`, ...where] };
}

test("a second agent over the same device is refused and disturbs nothing", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const before = { dump: await host.settledDump(), pid: host.dataplane?.pid };
    const { flags, runDir } = second(host, { Network: "10.99.0.0/16", Backend: { Type: "vxlan" } });
    const refused = host.runAgent(flags);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /another agent runs the overlay vxlan 1 .*another VNI or port/);
    assert.equal(existsSync(pidPathOf(join(runDir, "dataplane.sock"))), false);
    assert.deepEqual({ dump: host.dump(), pid: host.dataplane?.pid }, before);
  });
});

for (const Backend of [{ Type: "vxlan", VNI: 2, Port: 8473 }, { Type: "host-gw" }]) {
  test(`a second agent for the same network is refused, with the backend ${Backend.Type}`, {
    skip: rootNeeded,
  }, async () => {
    await withAgentHost(async (host) => {
      await host.startAgent(["--dataplane=kernel"]);
      const before = await host.settledDump();
      const { flags } = second(host, { Network: "10.244.0.0/16", Backend });
      const refused = host.runAgent(flags);
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /another agent runs the network 10\.244\.0\.0\/16 .*a network of its own/);
      assert.equal(host.dump(), before);
    });
  });
}

test("a second agent for a part of the first one's network is refused", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=kernel"]);
    const before = await host.settledDump();
    const { flags } = second(host, { Network: "10.244.128.0/17", Backend: { Type: "vxlan", VNI: 2, Port: 8473 } });
    const refused = host.runAgent(flags);
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      /another agent runs the network 10\.244\.0\.0\/16 .* overlaps 10\.244\.128\.0\/17; .*\(OVERLAY_CLAIMED\)/,
    );
    assert.equal(host.dump(), before);
  });
});

for (const [links, disable] of [
  ["tcx links", []],
  ["filters of one NIC", ["tcx"]],
] as const) {
  test(`agents with networks of their own coexist by ${links}, and the cleanup of one leaves the other alone`, {
    skip: rootNeeded,
  }, async () => {
    const DataPlane = { Disable: disable };
    const first = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan", DataPlane } });
    await withAgentHost(async (host) => {
      const bare = host.dump();
      const { flags, where, runDir } = second(host, {
        Network: "10.99.0.0/16",
        Backend: { Type: "vxlan", VNI: 2, Port: 8473, DataPlane },
      });
      await host.startAgent(["--dataplane=userspace", ...flags]);
      await host.stopAgents();
      const other = readPidFile(pidPathOf(join(runDir, "dataplane.sock")));
      assert.ok(other !== null, "the second overlay's data plane goes on");
      await host.startAgent(["--dataplane=userspace"]);
      await host.startAgent(["--dataplane=userspace", ...flags]);
      const shown = host.ip("-o link");
      for (const device of ["flannel.1", "flannel.2", "rso.1", "rso.2"]) assert.match(shown, new RegExp(` ${device}:`));
      await host.untilCondition("ok");
      assert.equal(readPidFile(pidPathOf(join(runDir, "dataplane.sock")))?.pid, other.pid, "adopted");
      const handles = () =>
        [...host.tc("filter show dev eth0 ingress").matchAll(/handle (\S+) ripstop/g)].map((m) => m[1]);
      const filtered = disable.length > 0;
      assert.deepEqual(handles().sort(), filtered ? ["0x3", "0x5"] : []);
      await host.stopAgents();
      assert.equal(host.ripstop("cleanup", ...where).status, 0);
      assert.match(host.ip("-o link"), / flannel\.1:/);
      assert.deepEqual(handles(), filtered ? ["0x3"] : []);
      assert.ok(host.dataplane !== null, "the first one's data plane goes on");
      assert.equal(host.cleanup().status, 0);
      assert.equal(host.dump(), bare);
    }, first);
  });
}

/** What an AF_XDP port locks, and what lets it: a limit, as systemd sets one; or the capability, where not even root may set that. */
const LOCKED = ["prlimit", "--memlock=67108864"];
const mayLock = spawnSync(LOCKED[0] ?? "", [...LOCKED.slice(1), "true"]).status === 0;

for (const underlayPort of ["tap", "xdp", "packet"]) {
  const locks = underlayPort === "xdp" && !mayLock;
  test(`NET_ADMIN, NET_RAW and BPF${locks ? ", with IPC_LOCK," : ""} are all that an agent with masquerading and the ${underlayPort} port needs, and the data plane keeps none`, {
    skip: rootNeeded,
  }, async () => {
    await withAgentHost(async (host) => {
      const few = `-all,+net_admin,+net_raw,+bpf${locks ? ",+ipc_lock" : ""}`;
      const limit = underlayPort === "xdp" && mayLock ? LOCKED : [];
      const three = [...limit, "setpriv", `--bounding-set=${few}`, "--inh-caps=-all"];
      const argv = ["netns", "exec", host.namespace, ...three, process.execPath, RIPSTOP, "agent", ...host.flags];
      const log = join(host.folder, "three.log");
      const wanted = ["--dataplane=userspace", `--underlay-port=${underlayPort}`, "--ip-masq"];
      const agent = spawn("ip", [...argv, ...wanted], { stdio: ["ignore", "ignore", openSync(log, "a")] });
      try {
        const said = () => (existsSync(log) ? readFileSync(log, "utf8") : "");
        await until("the agent is ready", () => said().includes('"msg":"ready"') || agent.exitCode !== null, 30_000);
        assert.equal(agent.exitCode, null, said());
        // Bits of capabilities(7): NET_ADMIN 12, NET_RAW 13, IPC_LOCK 14, BPF 39.
        const held = locks ? "0000008000007000" : "0000008000003000";
        assert.equal(sets(agent.pid).join(), `${held},${held}`);
        await until("the rules stand", () => host.dump().includes("MASQUERADE"), 30_000);
        await host.untilCondition("ok");
        const pid = host.dataplane?.pid;
        for (const thread of readdirSync(`/proc/${pid}/task`)) {
          assert.equal(sets(pid, thread).join(), "0000000000000000,0000000000000000");
        }
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        assert.match(status, /^NoNewPrivs:\s*1$/m);
        assert.match(status, /^Seccomp:\s*2$/m);
      } finally {
        agent.kill("SIGKILL");
      }
    });
  });
}

/** Permitted and effective. */
function sets(pid: number | undefined, thread = String(pid)): string[] {
  const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
  return ["CapPrm", "CapEff"].map((name) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "");
}
