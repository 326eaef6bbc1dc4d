// Upgrades and rollbacks of a running node, and changes of its configuration that need other ports: what they cost a numbered
// stream in both directions, and a TCP connection that lasts through all of them.
//   p1 - n1 (agent of changing version) - switch - n2 (agent) - p2
// Alone: it judges losses at a rate that takes a good part of a CPU.
import assert from "node:assert/strict";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type LabNode, type LabOptions, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { runUdpLoad, type UdpLoadResult } from "../../src/lab/traffic/udp-load.js";
import { waitFor } from "../../src/lab/wait.js";
import { ripstopVersion } from "../../src/lib/version.js";
import { Conversation } from "../support/conversation.js";
import { installAs } from "../support/installation.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { ReplaceableAgent } from "../support/replaceable-agent.js";
import { wasSteady } from "../support/steady-stream.js";

const ROUNDS = Number(process.env["RIPSTOP_UPGRADE_ROUNDS"] ?? process.env["RIPSTOP_FAULT_ROUNDS"] ?? "2");
const LONG = process.env["RIPSTOP_UPGRADE_ROUNDS"] !== undefined;
const RATE = 20_000;
/** A busy machine may disturb a round or two; others take their place. */
const ROUNDS_MAX = LONG ? ROUNDS : 3 * ROUNDS;
/** No kernel's path carries while a busy machine keeps our worker waiting: what a TAP holds must last for that. */
const RATE_UDP = LONG ? RATE : 2_000;
const SECONDS = 2.5;

const KINDS: ReadonlyArray<readonly [name: string, options: Pick<LabOptions, "underlayPort" | "backend">]> = [
  ["the tap port", { backend: "vxlan", underlayPort: "tap" }],
  ["the xdp port", { backend: "vxlan", underlayPort: "xdp" }],
  ["the packet port", { backend: "vxlan", underlayPort: "packet" }],
  ["the udp format", { backend: "udp", underlayPort: "auto" }],
];

for (const [name, kind] of KINDS) {
  test(`a new version and the old one take turns on ${name} without loss`, {
    skip: rootNeeded,
  }, async (context) => {
    const other = installAs("9.9.9");
    const agent = new ReplaceableAgent();
    try {
      await withLab({ dataplane: "userspace", ...kind }, async (plan) => {
        const [one, two] = plan.nodes as readonly [LabNode, LabNode];
        const out = { from: one.pod, to: two.pod, address: await addressOf(two) };
        const back = { from: two.pod, to: one.pod, address: await addressOf(one) };
        await agent.take(plan, one);
        const rate = kind.backend === "udp" ? RATE_UDP : RATE;
        const packets = SECONDS * rate;
        const conversation = await Conversation.start(out);
        const costs: number[] = [];
        try {
          const judged = () => costs.filter((lost) => lost >= 0).length;
          for (let round = 0; judged() < ROUNDS && round < ROUNDS_MAX; round++) {
            const upgrade = round % 2 === 0;
            const load = runUdpLoad({ ...(round % 4 < 2 ? out : back), rate, packets, size: 200 });
            await agent.replace(plan, one, upgrade ? other.program : undefined);
            await version(one, upgrade ? other.version : ripstopVersion());
            costs.push(cost(await load, round, rate));
          }
          const { broken, messages, waitMaxMs } = await conversation.end();
          assert.equal(broken, null, "the TCP connection lasts");
          assert.ok(messages > 100 * ROUNDS, `${messages} messages`);
          context.diagnostic(`one TCP connection, ${messages} messages, longest wait ${waitMaxMs.toFixed(0)} ms`);
        } finally {
          conversation.kill();
        }
        context.diagnostic(`lost of ${packets} per switch: ${costs.map((lost) => (lost < 0 ? "-" : lost)).join(" ")}`);
      });
    } finally {
      agent.kill();
      other.remove();
    }
  });
}

/** What the configuration says of the data plane, one after another; each of them opens other ports, on every node at once. */
const CONFIGURATIONS = [{ Disable: ["tunnel-gso"] }, { UnderlayPort: "packet" }, { Workers: 2 }, {}];

test("a configuration that needs other ports is taken over without loss", { skip: rootNeeded }, async (context) => {
  await withLab({ dataplane: "userspace", underlayPort: "auto" }, async (plan) => {
    const [one, two] = plan.nodes as readonly [LabNode, LabNode];
    const ends = { from: one.pod, to: two.pod, address: await addressOf(two) };
    const conversation = await Conversation.start(ends);
    const costs: number[] = [];
    try {
      for (let round = 0; round < CONFIGURATIONS.length * Math.max(1, Math.round(ROUNDS / 10)); round++) {
        const pids = await Promise.all(plan.nodes.map(async (node) => (await runningPlane(node))?.pid));
        const load = runUdpLoad({ ...ends, rate: RATE, packets: SECONDS * RATE, size: 200 });
        configure(plan, CONFIGURATIONS[round % CONFIGURATIONS.length] ?? {});
        for (const [i, node] of plan.nodes.entries()) {
          const replaced = async () => {
            const pid = (await runningPlane(node))?.pid;
            return pid !== undefined && pid !== pids[i] ? true : null;
          };
          await waitFor(`another data plane of ${node.namespace}`, replaced, { timeoutMs: 30_000, everyMs: 20 });
        }
        costs.push(cost(await load, round, RATE));
      }
      const { broken } = await conversation.end();
      assert.equal(broken, null, "the TCP connection lasts");
    } finally {
      conversation.kill();
    }
    context.diagnostic(
      `lost of ${SECONDS * RATE} per change: ${costs.map((lost) => (lost < 0 ? "-" : lost)).join(" ")}`,
    );
  });
});

function configure(plan: LabPlan, DataPlane: object): void {
  const path = join(labFiles.store(plan.directory), "config");
  const config = JSON.parse(readFileSync(path, "utf8")) as { Backend: object };
  writeFileSync(`${path}.new`, JSON.stringify({ ...config, Backend: { ...config.Backend, DataPlane } }));
  renameSync(`${path}.new`, path);
}

/** -1 for a round in which the machine stalled the sender itself: it says nothing about us. */
function cost(result: UdpLoadResult, round: number, rate: number): number {
  const { lost, sink, sender } = result;
  const told = JSON.stringify({ round, sender, sink });
  assert.equal(sink.corrupt, 0, told);
  if (!wasSteady(result, rate, SECONDS * rate)) return -1;
  const missing = lost - sink.socket_drops;
  // A millisecond's worth.
  assert.ok(missing <= rate / 1000, told);
  return missing;
}

async function version(node: LabNode, wanted: string): Promise<void> {
  await waitFor(
    `a data plane of version ${wanted}`,
    async () => ((await runningPlane(node))?.version === wanted ? true : null),
    { timeoutMs: 30_000, everyMs: 20 },
  );
}

async function addressOf(node: LabNode): Promise<string> {
  const subnet = await readSubnetFile(labFiles.subnetFile(node));
  assert.ok(subnet !== null, `${node.namespace} has a subnet`);
  return podAddress(subnet);
}
