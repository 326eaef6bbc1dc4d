// Every node of a lab from our agent to flanneld, and every node back, one after another, as an operator rolls it out: under a TCP
// stream between two of their pods that must not notice, with traffic both ways after each step.
import assert from "node:assert/strict";
import { awaitReachability } from "../../src/lab/reachability.js";
import { type LabNode, type LabPlan, labFiles } from "../../src/lab/plan.js";
import { podAddress, readSubnetFile } from "../../src/lab/pod.js";
import { Runner } from "../../src/lab/runner.js";
import { Conversation } from "./conversation.js";
import { becomeFlanneld, becomeRipstop, deviceMtu } from "./flanneld-node.js";
import { migration, problems } from "./migration.js";
import { exchangeBothWays, nodeSubnets } from "./overlay-traffic.js";

/** Of the stream, each way: some 20 Mb/s. It measures nothing but whether it lives. */
const MESSAGE_BYTES = 8_192;
const MESSAGES_MIN = 1_000;

export interface RollingSwap {
  readonly plan: LabPlan;
  /** The overlay device, whose MTU stays. */
  readonly device: string;
  readonly flanneld: string;
  /** flanneld's flags for the store. */
  readonly store: readonly string[];
  /** Ours; absent: those of the lab. */
  readonly ownStore?: readonly string[];
  readonly variables?: (node: LabNode) => readonly string[];
}

/** What to say about it. */
export async function swapEveryNode(swap: RollingSwap): Promise<string> {
  const { plan, device, flanneld, store, ownStore, variables = () => [] } = swap;
  const subnets = await nodeSubnets(plan);
  const nodes = plan.nodes;
  const first = nodes[0] as LabNode;
  const last = nodes.at(-1) as LabNode;
  const subnetOf = async (node: LabNode) => await readSubnetFile(labFiles.subnetFile(node));
  const classic = new Set<LabNode>();
  const check = async (node: LabNode, index: number) => {
    assert.deepEqual(await subnetOf(node), subnets.get(node), `${node.namespace} keeps its subnet and MTU`);
    const other = nodes[(index + 1) % nodes.length] as LabNode;
    await awaitReachability(new Runner(), plan, subnets);
    const proxies = plan.options.backend === "udp" ? [...classic].map((one) => ({ node: one, device })) : [];
    await exchangeBothWays(
      node,
      other,
      proxies.filter((proxy) => proxy.node === node || proxy.node === other),
    );
  };

  const lastSubnet = subnets.get(last);
  assert.ok(lastSubnet);
  const ends = { from: first.pod, to: last.pod, address: podAddress(lastSubnet) };
  const stream = await Conversation.start(ends, MESSAGE_BYTES);
  const began = performance.now();
  try {
    for (const [index, node] of nodes.entries()) {
      const mtu = deviceMtu(node, device);
      await becomeFlanneld(plan, node, flanneld, store, variables(node));
      classic.add(node);
      assert.equal(deviceMtu(node, device), mtu, "flanneld computes the MTU that we compute");
      assert.deepEqual(problems(migration(node)), [], "nothing would change by swapping back");
      await check(node, index);
    }
    for (const [index, node] of nodes.entries()) {
      await becomeRipstop(plan, node, ownStore, variables(node));
      classic.delete(node);
      await check(node, index);
    }
    const seconds = (performance.now() - began) / 1000;
    const { broken, messages, waitMaxMs } = await stream.end();
    assert.equal(broken, null, "the TCP connection lasts");
    assert.ok(messages > MESSAGES_MIN, `only ${messages} messages: the stream stood still for long`);
    const waited = `the longest waited ${waitMaxMs.toFixed(0)} ms`;
    return `six swaps within ${seconds.toFixed(1)} s; one TCP connection, ${messages} messages there and back, ${waited}`;
  } finally {
    stream.kill();
  }
}
