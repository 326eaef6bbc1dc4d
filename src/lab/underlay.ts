// The underlay: a bridge in a namespace of its own, and a cable from it to each node. Every step may be repeated.
import { RipstopError } from "../lib/errors.js";
import { exactAddress, linkNames } from "./links.js";
import { type LabNode, type LabPlan, UNDERLAY_MTU } from "./plan.js";
import type { Runner } from "./runner.js";

const IPV4_ALONE = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
/** Addresses are whole at once, and nobody asks for routers. */
const IPV6_AT_ONCE = ["all", "default"].flatMap((scope) =>
  ["disable_ipv6", "accept_dad", "accept_ra", "router_solicitations"].map((name) => `net.ipv6.conf.${scope}.${name}=0`),
);

/** Makes every node's namespace quiet (no IPv6 chatter in the counters of a lab without it) and lets it forward. */
export async function prepareNamespaces(runner: Runner, plan: LabPlan): Promise<void> {
  const quiet = ["-q", "-w", ...(plan.ipv6 === null ? IPV4_ALONE : IPV6_AT_ONCE)];
  const forward = ["net.ipv4.ip_forward=1", ...(plan.ipv6 === null ? [] : ["net.ipv6.conf.all.forwarding=1"])];
  await Promise.all([
    prepare(runner, plan.switchNamespace, quiet),
    ...plan.nodes.flatMap((node) => [
      prepare(runner, node.namespace, [...quiet, ...forward]),
      prepare(runner, node.pod, quiet),
    ]),
  ]);
}

async function prepare(runner: Runner, namespace: string, sysctls: readonly string[]): Promise<void> {
  await runner.ip(namespace, ["link set lo up"]);
  await runner.mustIn(namespace, "sysctl", sysctls);
}

export async function buildSwitch(runner: Runner, plan: LabPlan): Promise<void> {
  const present = await linkNames(runner, plan.switchNamespace);
  const bridge = plan.switchBridge;
  await runner.ip(plan.switchNamespace, [
    ...(present.has(bridge) ? [] : [`link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`]),
    `link set ${bridge} mtu ${UNDERLAY_MTU} up`,
  ]);
  const wanted = [`${plan.gateway}/${plan.underlayPrefixLength}`];
  if (plan.ipv6 !== null) wanted.push(`${plan.ipv6.gateway}/${plan.ipv6.underlayPrefixLength}`);
  for (const address of wanted) {
    await runner.ip(plan.switchNamespace, await exactAddress(runner, plan.switchNamespace, bridge, address));
  }
}

/** One cable: eth0 in the node, a bridge port in the switch. Both ends have equally many queues. */
export async function connectNode(runner: Runner, plan: LabPlan, node: LabNode): Promise<void> {
  const ports = await linkNames(runner, plan.switchNamespace);
  const devices = await linkNames(runner, node.namespace);
  const cabled = ports.has(node.switchPort) && devices.has("eth0");
  const stale = !cabled && ports.has(node.switchPort) ? [`link delete ${node.switchPort}`] : [];
  const { cableQueues } = plan.options;
  const queues = `numtxqueues ${cableQueues} numrxqueues ${cableQueues}`;
  await runner.ip(plan.switchNamespace, [
    ...stale,
    ...(cabled
      ? []
      : [`link add ${node.switchPort} ${queues} type veth peer name eth0 ${queues} netns ${node.namespace}`]),
    `link set ${node.switchPort} mtu ${UNDERLAY_MTU} master ${plan.switchBridge} up`,
  ]);
  await runner.ip(node.namespace, [
    ...(await exactAddress(runner, node.namespace, "eth0", `${node.underlay}/${plan.underlayPrefixLength}`)),
    `link set eth0 mtu ${UNDERLAY_MTU} up`,
    `route replace default via ${plan.gateway} dev eth0`,
    ...(await connectV6(runner, plan, node)),
  ]);
}

async function connectV6(runner: Runner, { ipv6 }: LabPlan, { namespace, underlayV6 }: LabNode): Promise<string[]> {
  if (ipv6 === null || underlayV6 === null) return [];
  return [
    ...(await exactAddress(runner, namespace, "eth0", `${underlayV6}/${ipv6.underlayPrefixLength}`)),
    `route replace ::/0 via ${ipv6.gateway} dev eth0`,
  ];
}

/**
 * AF_XDP takes frames before the stack would fill in checksums and split super-packets. With an XDP port on the node's
 * eth0 the switch's end of the cable has to finish them, as a physical NIC at the far end would have.
 */
export async function finishFramesOnCable(
  runner: Runner,
  plan: LabPlan,
  node: LabNode,
  finish: boolean,
): Promise<void> {
  const result = await runner.runIn(plan.switchNamespace, "ethtool", [
    "-K",
    node.switchPort,
    "tx",
    finish ? "off" : "on",
  ]);
  if (result.code !== 0) {
    throw new RipstopError(
      "LAB_COMMAND",
      `cannot set tx-checksumming of ${node.switchPort}: ${result.stderr.trim()}; use --underlay-port tap`,
      { op: "ethtool" },
    );
  }
}
