// No tear spreads: what the death or the stop of a process costs a numbered stream. Short here; `npm run test:faults` sets
// RIPSTOP_FAULT_ROUNDS for the long form.
//   p1 - n1 (agent, data plane) - switch - n2 (agent, data plane) - p2
// Alone: it measures gaps in milliseconds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agentName } from "../../src/lab/agent-node.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { viewPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { PingRun } from "../../src/lab/traffic/ping.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { rootNeeded, testPrefix, withLab } from "../support/lab.js";

const ROUNDS = Number(process.env["RIPSTOP_FAULT_ROUNDS"] ?? "3");
const RATE = 20_000;
const INTERVAL_MS = 1;
/** While nothing is answered, ping slows down to this pace. */
const UNANSWERED_MS = 10;
/** Heartbeat limit, and what a loaded two-core machine adds to any measurement. */
const GAP_MS = 60;

test("killing agents costs a stream of 20,000 packets a second nothing", { skip: rootNeeded }, async () => {
  await withLab({ dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const planes = await Promise.all(plan.nodes.map(pidOfPlane));
    const ends = { from: one.pod, to: other.pod, address: await addressOf(other) };
    for (let round = 0; round < ROUNDS; round++) {
      const load = runUdpLoad({ ...ends, rate: RATE, packets: RATE, size: 200 });
      for (const node of plan.nodes) {
        const agent = await findDaemon(plan.directory, agentName(node));
        assert.ok(agent !== null);
        process.kill(agent.pid, "SIGKILL");
      }
      const { lost, sink, sender } = await load;
      // A machine that stalls the sender itself says nothing about us: such a round proves only that agents come back.
      const disturbed = sender.seconds > 1.2;
      // What the receiving socket could not take reached the pod.
      if (!disturbed) assert.equal(lost - sink.socket_drops, 0, `round ${round}: ${JSON.stringify({ sender, sink })}`);
      await again(plan);
      assert.deepEqual(await Promise.all(plan.nodes.map(pidOfPlane)), planes, "agents adopt the data planes they find");
    }
  });
});

for (const underlayPort of ["tap", "xdp"] as const) {
  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    test(`${signal} of a data plane on the ${underlayPort} port leaves a gap of milliseconds`, {
      skip: rootNeeded,
    }, async (context) => {
      await withLab({ dataplane: "userspace", underlayPort }, async (plan) => {
        const [one, other] = plan.nodes as readonly [LabNode, LabNode];
        const address = await addressOf(other);
        const rounds: Array<{ readonly lost: number; readonly gapMaxMs: number }> = [];
        for (let round = 0; round < ROUNDS; round++) {
          const pid = await pidOfPlane(one);
          const ping = new PingRun({ from: one.pod, address, count: 600, intervalMs: INTERVAL_MS });
          await waitFor("the ping to be under way", async () => ping.answers >= 100 || null, {
            timeoutMs: 10_000,
            everyMs: 1,
          });
          process.kill(pid, signal);
          rounds.push(await ping.result());
          // Opened while the kernel carries, and whole when user space has taken over again.
          const stream = runTcpCheck({ from: one.pod, to: other.pod, address, mebibytes: 16 });
          if (signal === "SIGSTOP") process.kill(pid, "SIGCONT");
          await stream;
          await waitFor("a running data plane", async () => running(one), { timeoutMs: 20_000 });
        }
        const told = rounds.map(({ lost, gapMaxMs }) => `${lost} lost, silence ${gapMaxMs.toFixed(0)} ms`);
        context.diagnostic(`${signal} ${underlayPort}: ${told.join("; ")}`);
        // What was lost measures the gap; the silence that ping saw also holds what a busy machine kept from ping itself.
        for (const { lost } of rounds) assert.ok(lost * UNANSWERED_MS <= GAP_MS, told.join("; "));
      });
    });
  }
}

test("what somebody breaks in the kernel is repaired within a second", { skip: rootNeeded }, async (context) => {
  await withLab({ dataplane: "kernel" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const runner = new Runner();
    const address = await addressOf(other);
    const subnet = `${address.replace(/\d+$/, "0")}/24`;
    const show = async (command: string) => (await runner.runIn(one.namespace, "ip", command.split(" "))).stdout;
    const mac = /lladdr (\S+)/.exec(await show("neighbor show dev flannel.1"))?.[1] ?? "";
    const faults: ReadonlyArray<
      readonly [what: string, program: string, args: string, healed: () => Promise<boolean>]
    > = [
      ["route deleted", "ip", `route delete ${subnet}`, async () => (await show("route")).includes(subnet)],
      [
        "neighbor deleted",
        "ip",
        `neighbor delete ${subnet.split("/")[0]} dev flannel.1`,
        async () => (await show("neighbor show dev flannel.1")).includes(mac),
      ],
      [
        "FDB entry deleted",
        "bridge",
        `fdb delete ${mac} dev flannel.1 self`,
        async () =>
          (await runner.runIn(one.namespace, "bridge", ["fdb", "show", "dev", "flannel.1"])).stdout.includes(mac),
      ],
      [
        "MTU changed",
        "ip",
        "link set flannel.1 mtu 1280",
        async () => (await show("link show flannel.1")).includes("mtu 1450"),
      ],
      [
        "device set down",
        "ip",
        "link set flannel.1 down",
        async () => /[<,]UP[,>]/.test(await show("link show flannel.1")) && (await show("route")).includes(subnet),
      ],
      ["device deleted", "ip", "link delete flannel.1", async () => (await show("route")).includes(subnet)],
    ];
    for (const [what, program, args, healed] of faults) {
      const done = await runner.runIn(one.namespace, program, args.split(" "));
      assert.equal(done.code, 0, `${what}: ${done.stderr}`);
      const begin = performance.now();
      await waitFor(`repair: ${what}`, async () => (await healed()) || null, { timeoutMs: 5_000, everyMs: 5 });
      const took = performance.now() - begin;
      context.diagnostic(`${what}: repaired in ${took.toFixed(0)} ms`);
      assert.ok(took <= 1_000, `${what}: repaired after ${took.toFixed(0)} ms`);
    }
    await runTcpCheck({ from: one.pod, to: other.pod, address, mebibytes: 1 });
  });
});

async function again(plan: LabPlan): Promise<void> {
  const options = { ...DEFAULT_OPTIONS, prefix: testPrefix, dataplane: "userspace" } as const;
  await labUp(options, { directory: plan.directory, report: () => undefined });
}

async function addressOf(node: LabNode): Promise<string> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has a subnet`);
  return podAddress(subnet);
}

async function pidOfPlane(node: LabNode): Promise<number> {
  const view = await viewPlane(node);
  assert.ok(view !== null, `${node.namespace} has a data plane`);
  return view.pid;
}

async function running(node: LabNode): Promise<true | null> {
  const view = await viewPlane(node).catch(() => null);
  return view?.inspection.running === true && view.inspection.peers > 0 ? true : null;
}
