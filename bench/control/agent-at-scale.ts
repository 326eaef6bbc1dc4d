// One real agent with 5,000 peers from a real etcd, in a lab of its own: how long a change takes until the kernel and the data
// plane have it, what memory and time the agent takes, and what it does while etcd says nothing. Prints one JSON line. Needs
// root. Run: node dist/bench/control/agent-at-scale.js
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readNodeStatus } from "../../src/agent/node-status.js";
import { runPaths } from "../../src/agent/run-dir.js";
import { DataplaneClient } from "../../src/dataplane/client.js";
import { agentName } from "../../src/lab/agent-node.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { readSubnetFile } from "../../src/lab/pod.js";
import { waitFor } from "../../src/lab/wait.js";
import { withLab } from "../../test/support/lab.js";

const LEASES = 5_000;
const CHANGES = 1_000;
const RATE = 200;
/** After the fill the garbage collector and the next hops are busy for a while. */
const SETTLE_MS = 10_000;
const IDLE_MS = 40_000;
const AWAY_MS = 20_000;
/** The data plane is asked this often how many peers it has, so a change may be seen so much too late. */
const LOOK_MS = 10;
const PREFIX = "/coreos.com/network";
const WRITER = fileURLToPath(new URL("lease-writer.js", import.meta.url));
/** Clock ticks a second in /proc/PID/stat. */
const TICKS = 100;
const run = promisify(execFile);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const quantiles = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? -1);
  return { n: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
};

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

const rssMiB = (pid: number) =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);

/** What the whole machine was busy with, in seconds of a core. */
function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (
    /^cpu +(.*)/.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? ""
  )
    .split(" ")
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS;
}

/** What each process took since it was made, as a share of one core; and the machine, which tells whether others disturbed. */
function cpuMeter(pids: Readonly<Record<string, number>>) {
  const clocks = new Map([
    ...Object.entries(pids).map(([name, pid]) => [name, () => cpuSeconds(pid)] as const),
    ["machine", machineSeconds] as const,
  ]);
  const before = [...clocks].map(([name, read]) => ({ name, read, cpu: read() }));
  const begunMs = performance.now();
  return () => {
    const share = 100_000 / (performance.now() - begunMs);
    return Object.fromEntries(before.map(({ name, read, cpu }) => [name, Number(((read() - cpu) * share).toFixed(2))]));
  };
}

await withLab({ nodes: 1, store: "etcd", dataplane: "userspace" }, async (plan) => {
  const [node] = plan.nodes as readonly [LabNode];
  const [agent, etcd] = [await findDaemon(plan.directory, agentName(node)), await findDaemon(plan.directory, "etcd")];
  if (agent === null || etcd === null) throw new Error("the lab is not whole");
  const client = await DataplaneClient.connect(runPaths(join(node.directory, "run")).dataplaneSocket, {
    deadlineMs: 5_000,
  });
  const { pid: dataplane } = await client.hello("observe");
  const carried = async () => (await client.inspect()).peers;
  const settled = async (peers: number) =>
    waitFor(`${peers} peers`, async () => (await carried()) === peers || null, { timeoutMs: 60_000, everyMs: 5 });
  const processes = { agent: agent.pid, dataplane, etcd: etcd.pid, bench: process.pid };

  const first = performance.now();
  await write(plan, node, 0, LEASES, 0);
  const writtenMs = performance.now() - first;
  await settled(LEASES);
  const fillMs = { written: Math.round(writtenMs), applied: Math.round(performance.now() - first) };
  await pause(SETTLE_MS);
  const filledMiB = rssMiB(agent.pid);
  const idleCpu = cpuMeter(processes);
  await pause(IDLE_MS);
  const idle = { filledMiB, cpuPercent: idleCpu(), rssMiB: rssMiB(agent.pid) };

  const kernel = watchRoutes(node);
  const seen: { readonly at: number; readonly peers: number }[] = [];
  const changesCpu = cpuMeter(processes);
  const writing = write(plan, node, LEASES, CHANGES, RATE);
  for (let peers = 0; peers < LEASES + CHANGES; ) {
    await pause(LOOK_MS);
    peers = await carried();
    seen.push({ at: Date.now(), peers });
  }
  const cpuPercent = changesCpu();
  const written = await writing;
  await settled(LEASES + CHANGES);
  const routes = await kernel.stop();
  // The data plane tells only how many it has, so the n-th change counts as applied when there are n more: by their order in etcd.
  const order = Object.values(written).sort(([, a], [, b]) => a - b);
  const inDataplane = order.map(
    ([begun], i) => (seen.find(({ peers }) => peers > LEASES + i)?.at ?? Number.POSITIVE_INFINITY) - begun,
  );
  const inKernel = Object.entries(written).flatMap(([key, [begun]]) => {
    const done = routes.get(key.replace("-", "/"));
    return done === undefined ? [] : [done - begun];
  });
  const stored = quantiles(order.map(([begun, answered]) => answered - begun));
  const change = { stored, kernel: quantiles(inKernel), dataplane: quantiles(inDataplane), cpuPercent };

  process.kill(etcd.pid, "SIGSTOP");
  const silent = performance.now();
  const noticing = cpuMeter({ agent: agent.pid });
  // Asking costs the agent a list of all its peers, so it is asked seldom, and not at all while its time is taken.
  await waitFor("the silence to be noticed", () => connected(node, false), { timeoutMs: 60_000, everyMs: 1_000 });
  const noticed = { ms: Math.round(performance.now() - silent), cpuPercent: noticing() };
  const away = cpuMeter({ agent: agent.pid });
  await pause(AWAY_MS);
  const blackHole = { noticed, cpuPercent: away(), peers: await carried() };
  process.kill(etcd.pid, "SIGCONT");
  const back = performance.now();
  await waitFor("the store to be back", () => connected(node, true), { timeoutMs: 60_000 });
  const recoveredMs = Math.round(performance.now() - back);
  client.disconnect();
  process.stdout.write(
    `${JSON.stringify({ leases: LEASES, fillMs, idle, rate: RATE, change, blackHole: { ...blackHole, recoveredMs }, rssAfterMiB: rssMiB(agent.pid) })}\n`,
  );
});

async function connected(node: LabNode, wanted: boolean): Promise<true | null> {
  const { agent } = await readNodeStatus(runPaths(join(node.directory, "run")));
  return agent?.store.connected === wanted ? true : null;
}

async function write(plan: LabPlan, node: LabNode, from: number, count: number, rate: number) {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  const taken = subnet?.gateway.split(".")[2] ?? "";
  const argv = [`http://${plan.gateway}:2379`, PREFIX, String(from), String(count), String(rate), taken];
  const enter = ["netns", "exec", plan.switchNamespace, process.execPath, WRITER, ...argv];
  const { stdout } = await run("ip", enter, { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout) as Record<string, readonly [begunMs: number, answeredMs: number]>;
}

/** When the kernel announced each route that was added. */
function watchRoutes(node: LabNode): { readonly stop: () => Promise<ReadonlyMap<string, number>> } {
  const child = spawn("ip", ["-n", node.namespace, "-ts", "-o", "monitor", "route"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
      const found = new Map<string, number>();
      for (const [, at = "", prefix = ""] of text.matchAll(/^\[([^\]]+)\] (10\.244\.\S+)/gm))
        if (!found.has(prefix)) found.set(prefix, new Date(at).getTime());
      return found;
    },
  };
}
