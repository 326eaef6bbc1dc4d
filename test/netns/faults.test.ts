// No tear spreads: what the death or the stop of a process costs a numbered stream. Short here; `npm run test:faults` sets
// RIPSTOP_FAULT_ROUNDS for the long form.
//   p1 - n1 (agent, data plane) - switch - n2 (agent, data plane) - p2
// Alone: it measures gaps in milliseconds.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { agentName } from "../../src/lab/agent-node.js";
import { findDaemon } from "../../src/lab/daemon.js";
import { labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, type LabOptions, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { runUdpLoad } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { Conversation } from "../support/conversation.js";
import { planeOf, rootNeeded, testPrefix, withLab } from "../support/lab.js";
import { wasSteady } from "../support/steady-stream.js";

const ROUNDS = Number(process.env["RIPSTOP_FAULT_ROUNDS"] ?? "2");
const LONG = process.env["RIPSTOP_FAULT_ROUNDS"] !== undefined;
/** A busy machine may disturb a round or two; others take their place. */
const ROUNDS_MAX = LONG ? ROUNDS : 3 * ROUNDS;
const RATE = 20_000;
/** How long the stream is, and how far into it the signal comes: a killed data plane that has lived a second is started again at once. */
const STREAMS = {
  SIGKILL: { packets: 1.6 * RATE, before: 1.05 * RATE },
  SIGSTOP: { packets: 0.6 * RATE, before: 0.05 * RATE },
} as const;
type Signal = keyof typeof STREAMS;
/** The heartbeat's 30 ms, and as much for a machine of two cores that stalls sender or receiver just then. */
const GAP_MS = 60;
/** What a TAP's queue holds at most. */
const RING_PACKETS = 4096;

interface Ends {
  readonly from: string;
  readonly to: string;
  readonly address: string;
}

test("killing agents costs a stream of 20,000 packets a second nothing", { skip: rootNeeded }, async (context) => {
  let judged = 0;
  await withLab({ dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const planes = await Promise.all(plan.nodes.map(pidOfPlane));
    const ends = { from: one.pod, to: other.pod, address: await addressOf(other) };
    let rounds = 0;
    for (; judged < ROUNDS && rounds < ROUNDS_MAX; rounds++) {
      const load = runUdpLoad({ ...ends, rate: RATE, packets: RATE, size: 200, realtime: LONG, missingQuietMs: 1_000 });
      for (const node of plan.nodes) {
        const agent = await findDaemon(plan.directory, agentName(node));
        assert.ok(agent !== null);
        process.kill(agent.pid, "SIGKILL");
      }
      const result = await load;
      const { lost, sink, sender } = result;
      // Another round proves only that agents come back. What the receiving socket could not take reached the pod.
      if (wasSteady(result, RATE, RATE)) {
        judged++;
        assert.equal(lost - sink.socket_drops, 0, `round ${rounds}: ${JSON.stringify({ sender, sink })}`);
      }
      await again(plan);
      assert.deepEqual(await Promise.all(plan.nodes.map(pidOfPlane)), planes, "agents adopt the data planes they find");
    }
    context.diagnostic(`${judged} of ${rounds} rounds undisturbed, no packet lost in them`);
  });
});

interface Variant {
  readonly name: string;
  readonly underlayPort: LabOptions["underlayPort"];
  readonly disable: readonly string[];
}

const VARIANTS: readonly Variant[] = [
  { name: "the tap port", underlayPort: "tap", disable: [] },
  { name: "the xdp port", underlayPort: "xdp", disable: [] },
  { name: "the packet port", underlayPort: "packet", disable: [] },
  { name: "tc filters instead of tcx links", underlayPort: "tap", disable: ["tcx"] },
];

for (const { name, underlayPort, disable } of VARIANTS) {
  test(`the data plane on ${name}`, { skip: rootNeeded }, (t) =>
    withLab({ dataplane: "userspace", underlayPort, disable: [...disable] }, async (plan) => {
      for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
        await t.test(
          `${signal} of a data plane on ${name} costs what its rings hold and a gap of milliseconds`,
          (one) => strikeRepeatedly(one, plan, signal),
        );
      }
    }),
  );
}

async function strikeRepeatedly(context: TestContext, plan: LabPlan, signal: Signal): Promise<void> {
  const [one, other] = plan.nodes as readonly [LabNode, LabNode];
  const out = { from: one.pod, to: other.pod, address: await addressOf(other) };
  const back = { from: other.pod, to: one.pod, address: await addressOf(one) };
  const conversation = await Conversation.start(out);
  const rounds: Cost[] = [];
  try {
    const judged = () => rounds.filter(({ disturbed }) => !disturbed).length;
    for (let round = 0; judged() < ROUNDS && round < ROUNDS_MAX; round++)
      rounds.push(await strike(one, signal, round % 2 === 0 ? out : back));
    const { broken } = await conversation.end();
    assert.equal(broken, null, "a TCP connection lasts through all of it");
  } finally {
    conversation.kill();
  }
  judge(context, rounds);
}

interface Cost {
  readonly lost: number;
  /** The longest time of which nothing arrived, by the clock of the sender. */
  readonly gapMs: number;
  /** Between two packets that arrived: holds what the machine kept from sender and receiver, too. */
  readonly silenceMs: number;
  readonly duplicates: number;
  /** The machine stalled the sender itself, or the signal came too late: the round says nothing about us. */
  readonly disturbed: boolean;
}

/** A stream of numbered packets, and in the middle of it the signal. */
async function strike(node: LabNode, signal: Signal, ends: Ends): Promise<Cost> {
  const pid = await pidOfPlane(node);
  const seen = await framesOf(node);
  const { packets, before } = STREAMS[signal];
  let over = false;
  const load = runUdpLoad({ ...ends, rate: RATE, packets, size: 200, realtime: LONG, missingQuietMs: 100 }).finally(
    () => (over = true),
  );
  // Where the machine keeps our worker waiting the kernel's path has its share, and the stream may end before that many have passed.
  const passed = async () => (await framesOf(node)) - seen > before || over || null;
  await waitFor("the stream to pass the data plane", passed, { timeoutMs: 30_000, everyMs: 25 });
  const inTime = !over;
  assert.ok((await framesOf(node)) > seen, "the data plane carries");
  process.kill(pid, signal);
  const result = await load;
  const { lost, sink } = result;
  if (signal === "SIGSTOP") process.kill(pid, "SIGCONT");
  await waitFor("a running data plane", async () => running(node), { timeoutMs: 30_000 });
  assert.equal(sink.corrupt, 0);
  return {
    lost: lost - sink.socket_drops,
    gapMs: sink.outage_max_us / 1000,
    silenceMs: sink.gap_max_us / 1000,
    duplicates: sink.duplicates,
    disturbed: !inTime || !wasSteady(result, RATE, packets),
  };
}

function judge(context: TestContext, all: readonly Cost[]): void {
  const rounds = all.filter(({ disturbed }) => !disturbed);
  const at = (values: readonly number[], share: number) =>
    values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)] ?? 0;
  const told = (values: readonly number[]) =>
    [0, 0.5, 0.9, 0.99, 1].map((share) => at(values, share).toFixed(0)).join(" / ");
  const lost = rounds.map((round) => round.lost);
  const gaps = rounds.map((round) => round.gapMs);
  const silences = rounds.map((round) => round.silenceMs);
  context.diagnostic(
    `${rounds.length} of ${all.length} rounds undisturbed; min / p50 / p90 / p99 / max: ` +
      `lost ${told(lost)}, longest gap ${told(gaps)} ms, longest silence ${told(silences)} ms, duplicates ${at(
        rounds.map(({ duplicates }) => duplicates),
        1,
      )}`,
  );
  for (const { lost: one } of rounds) assert.ok(one <= RING_PACKETS + (GAP_MS * RATE) / 1000, `lost ${one}`);
  if (!LONG) return;
  assert.ok(at(lost, 0.99) <= (GAP_MS * RATE) / 1000, `lost ${at(lost, 0.99)}, more than ${GAP_MS} ms of it`);
  assert.ok(at(gaps, 0.99) <= GAP_MS, `a gap of ${at(gaps, 0.99)} ms`);
  assert.ok(at(silences, 0.99) <= GAP_MS, `a silence of ${at(silences, 0.99)} ms`);
}

async function framesOf(node: LabNode): Promise<number> {
  const { encap, decap } = (await planeOf(node)).counters;
  return Number(encap.rxPackets + decap.rxPackets);
}

test("a data plane whose device somebody removes gives way to the kernel, and another one opens", {
  skip: rootNeeded,
}, async (context) => {
  await withLab({ dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const runner = new Runner();
    for (const device of ["rso.1", "rsu.1"]) {
      const pid = await pidOfPlane(one);
      const load = runUdpLoad({
        from: one.pod,
        to: other.pod,
        address: await addressOf(other),
        rate: 2_000,
        packets: 4_000,
        missingQuietMs: 1_000,
      });
      const names = (await runner.runIn(one.namespace, "ip", ["-o", "link"])).stdout;
      // Two data planes take turns with two names.
      const name = names.includes(`${device}b:`) ? `${device}b` : device;
      assert.equal((await runner.runIn(one.namespace, "ip", ["link", "delete", name])).code, 0, name);
      const begin = performance.now();
      await waitFor(
        "another data plane",
        async () => {
          const view = await runningPlane(one);
          return view !== null && view.pid !== pid ? true : null;
        },
        { timeoutMs: 30_000 },
      );
      context.diagnostic(`${name} removed: another data plane after ${(performance.now() - begin).toFixed(0)} ms`);
      const result = await load;
      const few = result.lost <= (2 * GAP_MS * 2_000) / 1000;
      assert.ok(few || !wasSteady(result, 2_000, 4_000), `${name}: ${JSON.stringify(result)}`);
    }
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
  return (await planeOf(node)).pid;
}

async function running(node: LabNode): Promise<true | null> {
  return ((await runningPlane(node))?.inspection.peers ?? 0) > 0 || null;
}
