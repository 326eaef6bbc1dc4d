// The CNI network list that the agent writes, run by the real plugins of Debian as a runtime would: ADD on two nodes, the pods
// talk, DEL leaves nothing. And the same with what flannel's own plugin makes of subnet.env (test/peers/flannel-cni.test.ts
// compares that with the plugin itself).
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { type LabNode, labFiles } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { assertCarriedBy } from "../support/backend-lab.js";
import {
  assertPodsTalk,
  cniAdd,
  cniDelete,
  cniMissing,
  flannelDelegate,
  makeRoom,
  natRules,
  type NetworkList,
  type Plugin,
} from "../support/cni.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { eventually } from "../support/until.js";

const runner = new Runner();
const skip = rootNeeded || cniMissing;

test("pods that CNI ADD makes on two nodes talk, and DEL leaves nothing", { skip }, () =>
  withLab({ nodes: 2, dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const addresses = await Promise.all([added(one, await writtenList(one)), added(other, await writtenList(other))]);
    for (const node of plan.nodes) assert.match(await natRules(node), /--dport 8080 -j DNAT/);
    await assertCarriedByUs(plan.nodes, () => assertPodsTalk(one, addresses[0], other, addresses[1]));
    for (const node of plan.nodes) {
      await cniDelete(node, await writtenList(node));
    }
  }),
);

test("what flannel's CNI plugin makes of our subnet.env gives dual-stack pods that talk", { skip }, () =>
  withLab({ nodes: 2, ipv6: true, dataplane: "userspace" }, async (plan) => {
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const list = async (node: LabNode): Promise<NetworkList> => {
      return { name: "cbr0", cniVersion: "0.3.1", plugins: [(await flannelDelegate(node)) as Plugin] };
    };
    const addresses = await Promise.all([added(one, await list(one)), added(other, await list(other))]);
    assert.deepEqual(
      addresses.map(({ length }) => length),
      [2, 2],
    );
    await assertCarriedByUs(plan.nodes, () => assertPodsTalk(one, addresses[0], other, addresses[1]));
    for (const node of plan.nodes) {
      await cniDelete(node, await list(node));
    }
  }),
);

/** What a busy machine leaves to the kernel's path the data plane does not carry. */
function assertCarriedByUs(nodes: readonly LabNode[], talk: () => Promise<void>): Promise<void> {
  return eventually(async () => {
    await talk();
    for (const node of nodes) await assertCarriedBy(node, 100n);
  });
}

async function added(node: LabNode, list: NetworkList): Promise<string[]> {
  await makeRoom(node);
  const addresses = await cniAdd(node, list);
  assert.match(await runner.mustIn(node.namespace, "ip", ["link", "show", "cni0"]), /mtu 1450 /);
  return addresses;
}

async function writtenList(node: LabNode): Promise<NetworkList> {
  return JSON.parse(await readFile(labFiles.cniConfig(node), "utf8")) as NetworkList;
}
