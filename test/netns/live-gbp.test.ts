// GBP is switched on and off again while agents and data planes run and a TCP connection talks: the devices are made anew, the
// data planes go and come back, the connection lasts.
//   p1 - n1 (agent) - switch - n2 (agent) - p2
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { runningPlane, viewPlane } from "../../src/lab/plane.js";
import { podAddress } from "../../src/lab/pod.js";
import { networkConfig } from "../../src/lab/store.js";
import { waitFor } from "../../src/lab/wait.js";
import { writeFileAtomic } from "../../src/lib/atomic-file.js";
import { assertCarriedBy, assertReaches, ip, subnetOf } from "../support/backend-lab.js";
import { Conversation } from "../support/conversation.js";
import { rootNeeded, withLab } from "../support/lab.js";

const DEVICES = ["flannel.1", "flannel-v6.1"];

test(
  "GBP goes on and off under a TCP connection that lasts, and the data plane with it",
  { skip: rootNeeded },
  (context) =>
    withLab({ nodes: 2, ipv6: true }, async (plan) => {
      const [one, two] = plan.nodes as readonly [LabNode, LabNode];
      await Promise.all(plan.nodes.map(carriedInUserSpace));
      const macs = await Promise.all(plan.nodes.map(macOf));
      const ends = { from: one.pod, to: two.pod, address: podAddress(await subnetOf(two)) };
      const conversation = await Conversation.start(ends);
      try {
        await configure(plan, { GBP: true });
        for (const node of plan.nodes) {
          await devicesAre(node, "with GBP", (text) => text.includes(" gbp "));
          const gone = async () => (await viewPlane(node).catch(() => node)) === null || null; // Silence is not absence.
          await waitFor(`the data plane of ${node.namespace} to end`, gone, { timeoutMs: 30_000 });
        }
        await assertReaches(one, two);
        assert.deepEqual(await Promise.all(plan.nodes.map(macOf)), macs, "what the leases say stays true");

        await configure(plan, {});
        for (const node of plan.nodes) {
          await devicesAre(node, "without GBP", (text) => !text.includes(" gbp "));
          await carriedInUserSpace(node);
        }
        await assertReaches(one, two);
        const { broken, messages, waitMaxMs } = await conversation.end();
        assert.equal(broken, null, "the TCP connection lasts");
        assert.ok(messages > 10, `${messages} messages`);
        context.diagnostic(`${messages} messages, longest wait ${waitMaxMs.toFixed(0)} ms`);
        for (const node of plan.nodes) await assertCarriedBy(node, 1n);
      } finally {
        conversation.kill();
      }
    }),
);

/** As an operator writes it into the store. */
async function configure(plan: LabPlan, options: object): Promise<void> {
  const config = JSON.parse(networkConfig(plan)) as { Backend: object };
  const text = JSON.stringify({ ...config, Backend: { ...config.Backend, ...options } });
  await writeFileAtomic(join(labFiles.store(plan.directory), "config"), text);
}

async function devicesAre(node: LabNode, how: string, test: (text: string) => boolean): Promise<void> {
  for (const device of DEVICES) {
    const shown = () => ip(node, "-d", "link", "show", device).catch(() => null);
    const isSo = async () => {
      const text = await shown();
      return (text !== null && test(text)) || null;
    };
    await waitFor(`${device} of ${node.namespace} ${how}`, isSo, { timeoutMs: 30_000 });
  }
}

function carriedInUserSpace(node: LabNode) {
  return waitFor(`a data plane on ${node.namespace}`, () => runningPlane(node), { timeoutMs: 30_000 });
}

async function macOf(node: LabNode): Promise<string> {
  return (await ip(node, "-o", "link", "show", "flannel.1")).replace(/^.*link\/ether (\S+).*$/s, "$1");
}
