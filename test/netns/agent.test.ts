// The agent as a process on one host: what a start makes, what its end leaves, what adopts, what cleanup removes.
//   eth0 192.168.90.1 (veth, other end in the same namespace), flannel.1, a data plane over TAPs
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isRunning, signalProcess } from "../../src/lib/process-identity.js";
import { withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";
import { pause, resume } from "../support/pause.js";
import { until } from "../support/until.js";

/** Silence of 10 s means hung. */
const SHORT_STOP_MS = 8_000;
/** A machine that keeps everybody waiting is no proof: one of so many times has to be within the second. */
const ATTEMPTS = 3;
const running = (status: { dataplane: Record<string, unknown> }) => status.dataplane["state"] === "running";

test("a start makes device, lease, subnet.env and data plane, and says ok", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const [lease] = await host.leases();
    assert.match(lease ?? "", /^10\.244\.\d+\.0-24$/);
    const subnet = lease?.replace(/0-24$/, "1/24");
    assert.equal(
      readFileSync(host.subnetFile, "utf8"),
      `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=${subnet}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n`,
    );
    assert.match(host.ip("-d link show flannel.1"), /vxlan id 1 .*dstport 8472/);
    await host.untilCondition("ok");
    assert.ok(running(host.status()));
    assert.equal(statSync(host.runDir).mode & 0o777, 0o700);
  });
});

test("the agent's end, orderly or not, leaves everything; the next agent adopts it", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const agent = await host.startAgent(["--dataplane=userspace"]);
      const before = {
        dataplane: host.dataplane,
        leases: await host.leases(),
        device: host.ip("-o link show flannel.1"),
      };
      const exit = new Promise((resolve) => agent.once("exit", (code) => resolve(code)));
      agent.kill(signal);
      assert.equal(await exit, signal === "SIGTERM" ? 0 : null);
      assert.ok(before.dataplane !== null && isRunning(before.dataplane));
      assert.equal(host.ripstop("status", "--run-dir", host.runDir).status, 2);
      await host.startAgent(["--dataplane=userspace"]);
      assert.deepEqual(
        { dataplane: host.dataplane, leases: await host.leases(), device: host.ip("-o link show flannel.1") },
        before,
      );
      await host.stopAgents();
    }
  });
});

test("a second agent with the same run directory is refused and disturbs nothing", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const before = await host.settledDump();
    const second = host.runAgent([]);
    assert.equal(second.status, 1);
    assert.match(
      second.stderr.trimEnd().split("\n").at(-1) ?? "",
      /^ripstop agent: another agent runs .* --run-dir \(AGENT_RUNNING\)$/,
    );
    assert.equal(host.dump(), before);
    await host.untilCondition("ok");
  });
});

test("a killed data plane is back, with its table, and the agent says so", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=auto"]);
    await until("the data plane runs", () => running(host.status()));
    const first = host.dataplane;
    assert.ok(first !== null && signalProcess(first, "SIGKILL"));
    await until("another one runs", () => (host.dataplane?.pid ?? first.pid) !== first.pid && running(host.status()));
    await host.untilCondition("ok");
  });
});

test("--dataplane=kernel ends a data plane that an earlier agent left", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const dataplane = host.dataplane;
    await host.stopAgents();
    await host.startAgent(["--dataplane=kernel"]);
    assert.ok(dataplane !== null);
    await until("the data plane to end, which has said that it would", () => !isRunning(dataplane));
    await host.untilCondition("ok");
    await until("status knows", () => host.status().dataplane["state"] === "absent");
  });
});

test("a host without packet-filter tools is degraded and says why, until they are there", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    const tools = join(host.folder, "tools");
    mkdirSync(tools);
    const add = (name: string) => {
      const path = execFileSync("sh", ["-c", 'command -v "$0"', name], { encoding: "utf8" }).trim();
      symlinkSync(path, join(tools, name));
    };
    for (const name of ["ip", "sh"]) add(name);
    await host.startAgent(["--dataplane=kernel", "--iptables-resync=1"], { PATH: tools });
    await host.untilCondition("degraded", /the packet-filter rules cannot be made: .*iptables/);
    await host.untilCondition("degraded", /pods are not kept from the overlay's port: .*nft/);
    for (const name of ["nft", "iptables", "iptables-save", "iptables-restore"]) add(name);
    for (const name of ["ip6tables", "ip6tables-save", "ip6tables-restore"]) add(name);
    await host.untilCondition("ok");
  });
});

test("status answers while the data plane is stopped, and says who carries", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const { dataplane } = host;
    assert.ok(dataplane !== null);
    await pause(dataplane.pid);
    const stoppedAt = performance.now();
    await until("status says who carries", () => {
      const said = host.ripstop("status", "--run-dir", host.runDir);
      return said.status === 1 && /does not answer; the kernel path carries/.test(said.stdout);
    });
    const shortly = performance.now() - stoppedAt < SHORT_STOP_MS;
    resume(dataplane.pid);
    await host.untilCondition("ok");
    // Where not even this was short, the machine has proved nothing.
    assert.ok(isRunning(dataplane) || !shortly, "a short stop is no reason to kill it");
  });
});

for (const how of ["SIGTERM", "SIGKILL"] as const) {
  test(`cleanup after ${how} leaves the host as it was before`, { skip: rootNeeded }, async () => {
    await withAgentHost(async (host) => {
      const before = host.dump();
      await host.startAgent(["--dataplane=userspace", "--ip-masq"]);
      await until("the rules stand", () => host.dump().includes("FLANNEL-FWD"));
      assert.equal(host.cleanup().status, 1, "not while the agent runs");
      const { dataplane } = host;
      await host.stopAgents(how);
      if (how === "SIGKILL" && dataplane !== null) signalProcess(dataplane, "SIGKILL");
      const dry = host.cleanup("--dry-run");
      assert.match(dry.stdout, /would remove device flannel\.1\n/);
      assert.ok(existsSync(host.subnetFile), "a dry run removes nothing");
      const wet = host.cleanup();
      assert.equal(wet.stderr, "");
      assert.equal(wet.status, 0);
      assert.equal(host.dump(), before);
      assert.deepEqual([host.runDir, host.stateDir, host.subnetFile].map(existsSync), [false, false, false]);
      assert.ok(dataplane !== null && !isRunning(dataplane));
      assert.equal(host.cleanup().stdout, "nothing of Ripstop's is here\n");
    });
  });
}

test("--ip-blackhole-route keeps a route behind the bridge's own, and the next agent without it removes it", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=kernel", "--ip-blackhole-route", "--iptables-resync=1"]);
    const [lease = ""] = await host.leases();
    const subnet = lease.replace("-", "/");
    const there = () => host.ip("route show type blackhole").startsWith(`blackhole ${subnet} proto 158 `);
    await until("the route is there", there);
    host.ip("link add cni0 type bridge");
    host.ip("link set cni0 up");
    host.ip(`address add ${subnet.replace("0/24", "1/24")} dev cni0`);
    assert.match(host.ip(`route get ${subnet.replace("0/24", "9")}`), / dev cni0 /);
    host.ip(`route flush type blackhole`);
    await until("the route is back", there);
    await host.stopAgents();
    assert.ok(there(), "it stays while no agent runs");
    await host.startAgent(["--dataplane=kernel"]);
    await until("the route is gone", () => host.ip("route show type blackhole") === "");
  });
});

test("a TAP that somebody sets down is up again within a second", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    const { dataplane } = host;
    for (const tap of ["rso.1", "rsu.1"]) {
      const up = () => /[<,]UP[,>]/.test(host.ip(`-o link show ${tap}`));
      assert.ok(up());
      const took: number[] = [];
      while (took.length < ATTEMPTS && (took.at(-1) ?? Number.POSITIVE_INFINITY) >= 1_000) {
        host.ip(`link set ${tap} down`);
        const begin = performance.now();
        await until(`${tap} is up again`, up);
        took.push(performance.now() - begin);
      }
      assert.ok((took.at(-1) ?? 0) < 1_000, `${tap}: ${took.join(", ")} ms`);
    }
    assert.deepEqual(host.dataplane, dataplane, "nobody else had to take over");
    await host.untilCondition("ok");
  });
});

test("--never-masquerade exempts the networks it names, and refuses what is none", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    const refused = host.runAgent(["--never-masquerade=192.168.7.0"]);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /-never-masquerade names "192\.168\.7\.0", which is no CIDR/);
    await host.startAgent(["--dataplane=kernel", "--ip-masq", "--never-masquerade=192.168.7.0/24, fd00:7::/48"]);
    await until("the rules stand", () => host.dump().includes("MASQUERADE"));
    assert.match(host.dump(), /-d 192\.168\.7\.0\/24 .*-j RETURN/);
  });
});

for (const [how, foreign] of [
  ["killed", false],
  ["killed", true],
  ["running", false],
] as const) {
  const rest = foreign ? "and leaves the filter of another program" : "and its qdisc";
  test(`cleanup removes the tc filter of a ${how} data plane ${rest}`, { skip: rootNeeded }, async () => {
    const config = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","DataPlane":{"Disable":["tcx"]}}}';
    await withAgentHost(async (host) => {
      const filters = () => host.tc("filter show dev eth0 ingress");
      if (foreign) {
        host.tc("qdisc add dev eth0 clsact");
        host.tc("filter add dev eth0 ingress pref 10 protocol all bpf bytecode", "1,6 0 0 0");
      }
      const before = [host.dump(), filters()];
      await host.startAgent(["--dataplane=userspace"]);
      const { dataplane } = host;
      await host.stopAgents("SIGKILL");
      if (how === "killed" && dataplane !== null) signalProcess(dataplane, "SIGKILL");
      assert.match(filters(), /pref 158 bpf .*handle 0x3 ripstop/);
      assert.match(host.cleanup("--dry-run").stdout, /would remove tc filter on eth0 ingress\n/);
      assert.equal(host.cleanup().stderr, "");
      assert.deepEqual([host.dump(), filters()], before);
    }, config);
  });
}

test("cleanup removes all that an agent of IPv6 alone and its killed data plane leave", {
  skip: rootNeeded,
}, async () => {
  const backend = { Type: "vxlan", DataPlane: { Disable: ["tcx"] } };
  const config = { EnableIPv4: false, EnableIPv6: true, IPv6Network: "fd00:10::/48", Backend: backend };
  await withAgentHost(async (host) => {
    host.ip("address add fd00:90::1/64 dev eth0 nodad");
    host.ip("-6 route add default via fd00:90::fe");
    await host.awaitOwnRoutes();
    const filters = () => host.tc("filter show dev eth0 ingress");
    const before = [host.dump(), filters()];
    await host.startAgent(["--dataplane=userspace"]);
    assert.match(host.ip("-o link show flannel-v6.1"), /mtu 1430 /);
    const { dataplane } = host;
    await host.stopAgents("SIGKILL");
    if (dataplane !== null) signalProcess(dataplane, "SIGKILL");
    assert.notEqual(filters(), "");
    assert.equal(host.cleanup().stderr, "");
    assert.deepEqual([host.dump(), filters()], before);
  }, JSON.stringify(config));
});

test("cleanup leaves alone what another program made under the same names", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    host.ip("link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 local 192.168.90.1");
    host.ip("route add 10.9.0.0/24 via 192.168.90.7");
    const before = host.dump();
    assert.equal(host.cleanup().stdout, "nothing of Ripstop's is here\n");
    assert.equal(host.dump(), before);
  });
});

test("a start without the store goes on from what the node remembers", { skip: rootNeeded }, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=kernel"]);
    const [lease] = await host.leases();
    await until("the snapshot is written", () => existsSync(join(host.stateDir, "snapshot.json")));
    await host.stopAgents();
    host.hideStore();
    host.ip("link delete flannel.1");
    await host.startAgent(["--dataplane=kernel"]);
    await host.untilCondition("degraded", /the store is away/);
    assert.match(host.ip("-o -4 address show dev flannel.1"), new RegExp(`${lease?.replace("-24", "")}/32`));
    host.showStore();
    await until("the store is back", () => host.status().condition === "ok", 60_000);
    assert.deepEqual(await host.leases(), [lease]);
  });
});
