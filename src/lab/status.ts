// What a lab looks like now, node by node. Reads only; never repairs.
import { agentName } from "./agent-node.js";
import { findDaemon } from "./daemon.js";
import { kernelPeerSubnet } from "./kernel-peer.js";
import { namespaceIdentity } from "./namespace.js";
import { type LabNode, type LabPlan, labFiles } from "./plan.js";
import { type NodeSubnet, podAddress, readSubnetFile } from "./pod.js";
import { probeRing } from "./reachability.js";
import { Runner } from "./runner.js";
import { readState } from "./state.js";

export interface LabNodeStatus {
  readonly node: string;
  readonly kind: LabNode["kind"];
  readonly underlay: string;
  readonly subnet: string | null;
  readonly mtu: number | null;
  readonly pod: string;
  readonly podAddress: string | null;
  readonly agentPid: number | null;
  /** The next node's pod, and whether this node's pod reaches it; null when there is nobody to ask. */
  readonly reaches: { readonly pod: string; readonly reached: boolean } | null;
}

export interface LabStatus {
  readonly directory: string;
  readonly options: LabPlan["options"];
  /** "down": no node works; "degraded": some do not. */
  readonly state: "ok" | "degraded" | "down";
  readonly nodes: readonly LabNodeStatus[];
}

/** Null when there is no lab in this folder. */
export async function labStatus(directory: string): Promise<LabStatus | null> {
  const plan = await readState(directory);
  if (plan === null) return null;
  const subnets = new Map<LabNode, NodeSubnet>();
  const pids = new Map<LabNode, number>();
  for (const node of plan.nodes) {
    if ((await namespaceIdentity(node.namespace)) === null || (await namespaceIdentity(node.pod)) === null) continue;
    const subnet = await subnetNow(node);
    if (subnet !== null) subnets.set(node, subnet);
    const agent = node.kind === "agent" ? await findDaemon(directory, agentName(node)) : null;
    if (agent !== null) pids.set(node, agent.pid);
  }
  const ring = await probeRing(new Runner(), subnets);
  const nodes = plan.nodes.map((node): LabNodeStatus => {
    const subnet = subnets.get(node) ?? null;
    const reach = ring.find(({ from }) => from === node);
    return {
      node: node.namespace,
      kind: node.kind,
      underlay: node.underlay,
      subnet: subnet === null ? null : `${subnet.gateway.replace(/\.1$/, ".0")}/${subnet.prefixLength}`,
      mtu: subnet?.mtu ?? null,
      pod: node.pod,
      podAddress: subnet === null ? null : podAddress(subnet),
      agentPid: pids.get(node) ?? null,
      reaches: reach === undefined ? null : { pod: reach.to.pod, reached: reach.reached },
    };
  });
  const working = nodes.filter(works).length;
  const state = working === nodes.length ? "ok" : working === 0 ? "down" : "degraded";
  return { directory, options: plan.options, state, nodes };
}

async function subnetNow(node: LabNode): Promise<NodeSubnet | null> {
  return node.kind === "kernel-peer" ? kernelPeerSubnet(node) : readSubnetFile(labFiles.subnetFile(node));
}

function works(node: LabNodeStatus): boolean {
  return (
    node.subnet !== null && (node.kind === "kernel-peer" || node.agentPid !== null) && node.reaches?.reached !== false
  );
}
