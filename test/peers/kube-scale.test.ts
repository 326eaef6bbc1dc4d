// One agent in a cluster of 5,000 nodes, against a real API server: the first look, memory, one node's change until the kernel has
// it, and what an API server that is away costs. Peers are Node objects as large as real ones, without machines behind them.
// Alone: it measures times.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { test } from "node:test";
import { withAgentHost } from "../support/agent-host.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded } from "../support/lab.js";
import { peerProgram } from "../support/peer-program.js";
import { until } from "../support/until.js";

const NODES = 5_000;
const CHANGES = 100;
/** Of one node, 100 a second, beside the changes of others. */
const FLAPS = 500;
const FIRST_SYNC_MS = 10_000;
const RSS_MIB = 180;
const CHANGE_P99_MS = 500;
/** RIPSTOP_AWAY_MS=600000 is the long form. */
const AWAY_MS = Number(process.env["RIPSTOP_AWAY_MS"] ?? 30_000);
const AWAY_CPU = 0.05;
const RECOVERED_MS = 10_000;
const TICKS = 100;
const apiserver = peerProgram("kube-apiserver");
const kubectl = peerProgram("kubectl");

const cpuSeconds = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};
const memoryMiB = (pid: number, what: "VmRSS" | "VmHWM") =>
  Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

interface Delays {
  readonly p50: number;
  readonly p99: number;
}

/** Tells each MAC that the kernel gets as a neighbour's. */
function watchNeighbors(namespace: string, tell: (mac: string) => void): ChildProcess {
  const child = spawn("ip", ["-n", namespace, "-o", "monitor", "neigh"], { stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const mac = / lladdr (\S+)/.exec(line)?.[1];
    if (mac !== undefined) tell(mac);
  });
  return child;
}

test("5,000 nodes", { skip: rootNeeded || apiserver.missing || kubectl.missing }, async (context) => {
  await withAgentHost(async (host) => {
    const cluster = await KubeCluster.start({
      apiserver: apiserver.path,
      kubectl: kubectl.path,
      namespace: host.namespace,
      address: "127.0.0.1",
    });
    try {
      await cluster.applyRules();
      await cluster.createNode("self", ["10.95.0.0/24"]);
      await cluster.writeNodes("create", String(NODES));
      const netConf = join(cluster.directory, "net-conf.json");
      writeFileSync(netConf, JSON.stringify({ Network: "10.64.0.0/10", Backend: { Type: "vxlan" } }));
      const flags = [
        "--store=kube",
        `--kubeconfig-file=${await cluster.accountConfig("agent.conf")}`,
        `--net-config-path=${netConf}`,
        "--dataplane=kernel",
      ];
      const began = performance.now();
      const agent = await host.startAgent(flags, { NODE_NAME: "self" });
      const routes = () =>
        host
          .ip("-o route show dev flannel.1")
          .split("\n")
          .filter((line) => line.includes("via")).length;
      await until("all peers are programmed", () => routes() === NODES, 60_000);
      const firstMs = performance.now() - began;
      const pid = agent.pid ?? 0;

      const seen = new Map<string, number>();
      const watching = watchNeighbors(host.namespace, (mac) => seen.set(mac, Date.now()));
      const changes = async (generation: number): Promise<Delays> => {
        const words = ["change", String(CHANGES), "20", String(generation)];
        const accepted = JSON.parse(await cluster.writeNodes(...words)) as readonly number[];
        const macOf = (index: number) =>
          `02:0${generation}:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
        await until("all changes are programmed", () => accepted.every((_, index) => seen.has(macOf(index))), 60_000);
        const delays = accepted.map((at, index) => (seen.get(macOf(index)) ?? 0) - at).sort((a, b) => a - b);
        return { p50: delays[delays.length >> 1] ?? -1, p99: delays[Math.floor(delays.length * 0.99)] ?? -1 };
      };
      const calm = await changes(1);
      const [flapCpu, flapWall] = [cpuSeconds(pid), performance.now()];
      const [flapped] = await Promise.all([changes(2), cluster.writeNodes("flap", String(FLAPS), "100")]);
      const flapShare = ((cpuSeconds(pid) - flapCpu) * 1000) / (performance.now() - flapWall);
      watching.kill();
      const { p50, p99 } = calm;
      await cluster.stopServer();
      const [cpu, wall] = [cpuSeconds(pid), performance.now()];
      await until("the time away is over", () => performance.now() - wall > AWAY_MS, AWAY_MS + 5_000);
      const share = ((cpuSeconds(pid) - cpu) * 1000) / (performance.now() - wall);
      assert.ok(routes() >= NODES, "no peer is lost meanwhile");
      await cluster.startServer();
      const back = performance.now();
      const connected = () => {
        const { stdout } = host.ripstop("status", "--run-dir", host.runDir, "-o", "json");
        return (JSON.parse(stdout) as { agent: { store: { connected: boolean } } }).agent.store.connected;
      };
      await until("the agent is connected again", connected, RECOVERED_MS);
      const recoveredMs = performance.now() - back;

      // The most it ever was: with the first list, the changes, and the list after the server was away.
      const most = memoryMiB(pid, "VmHWM");
      context.diagnostic(
        JSON.stringify({
          firstMs: Math.round(firstMs),
          p50,
          p99,
          flappedP99: flapped.p99,
          flappedCpu: Number(flapShare.toFixed(2)),
          rssMiB: Math.round(memoryMiB(pid, "VmRSS")),
          mostRssMiB: Math.round(most),
          awayCpu: Number(share.toFixed(3)),
          recoveredMs: Math.round(recoveredMs),
        }),
      );
      assert.ok(firstMs <= FIRST_SYNC_MS, `first sync took ${firstMs.toFixed(0)} ms`);
      assert.ok(p99 <= CHANGE_P99_MS, `p99 of a change is ${p99} ms`);
      assert.ok(flapped.p99 <= CHANGE_P99_MS, `p99 beside a node that changes all the time is ${flapped.p99} ms`);
      assert.ok(most <= RSS_MIB, `${most.toFixed(0)} MiB`);
      assert.ok(share < AWAY_CPU, `${(share * 100).toFixed(1)} % of a core while the server is away`);
    } finally {
      await cluster.destroy();
    }
  });
});
