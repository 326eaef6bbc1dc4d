// Introduces kernel peers to everybody else: they have no agent that would learn of the other nodes.
import { linkMac } from "./links.js";
import { KERNEL_PEER_DEVICE, type Vtep, programKernelPeer, vtepOf } from "./kernel-peer.js";
import type { LabNode, LabPlan } from "./plan.js";
import type { NodeSubnet } from "./pod.js";
import type { Runner } from "./runner.js";
import { waitFor } from "./wait.js";

/** Programs every kernel peer with all other nodes as they are now. */
export async function peerUp(
  runner: Runner,
  plan: LabPlan,
  subnets: ReadonlyMap<LabNode, NodeSubnet>,
  signal?: AbortSignal,
): Promise<void> {
  const kernelPeers = plan.nodes.filter((node) => node.kind === "kernel-peer");
  if (kernelPeers.length === 0) return;
  const vteps = new Map<LabNode, Vtep>();
  for (const [node, subnet] of subnets) vteps.set(node, await vtepNow(runner, node, subnet, signal));
  for (const node of kernelPeers) {
    const others = [...vteps].filter(([other]) => other !== node).map(([, vtep]) => vtep);
    await programKernelPeer(runner, node, others);
  }
}

async function vtepNow(runner: Runner, node: LabNode, subnet: NodeSubnet, signal?: AbortSignal): Promise<Vtep> {
  const mac = await waitFor(
    `${KERNEL_PEER_DEVICE} in ${node.namespace}`,
    () => linkMac(runner, node.namespace, KERNEL_PEER_DEVICE),
    {
      timeoutMs: 30_000,
      ...(signal === undefined ? {} : { signal }),
    },
  );
  return vtepOf(node, subnet, mac);
}
