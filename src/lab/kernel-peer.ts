// A node without an agent: the kernel's own VXLAN device, programmed by hand exactly as flannel programs it. It is the
// oracle that our nodes have to interoperate with.
import { linkNames } from "./links.js";
import { type LabNode, UNDERLAY_MTU } from "./plan.js";
import type { NodeSubnet } from "./pod.js";
import type { Runner } from "./runner.js";

export const KERNEL_PEER_DEVICE = "flannel.1";
const VNI = 1;
const PORT = 8472;
const VXLAN_OVERHEAD = 50;

/** What another VTEP has to know about a node. */
export interface Vtep {
  /** Base address of its subnet: the VTEP's own overlay address. */
  readonly base: string;
  readonly prefixLength: number;
  readonly mac: string;
  readonly underlay: string;
}

/** Kernel peers have fixed subnets, away from those an agent takes by itself. */
export function kernelPeerSubnet(node: LabNode): NodeSubnet {
  return { gateway: `10.244.${node.index}.1`, prefixLength: 24, mtu: UNDERLAY_MTU - VXLAN_OVERHEAD };
}

export function kernelPeerVtep(node: LabNode): Vtep {
  const mac = `02:00:0a:f4:${node.index.toString(16).padStart(2, "0")}:00`;
  return { base: `10.244.${node.index}.0`, prefixLength: 24, mac, underlay: node.underlay };
}

export async function buildKernelPeer(runner: Runner, node: LabNode): Promise<void> {
  const own = kernelPeerVtep(node);
  const present = await linkNames(runner, node.namespace);
  const device = KERNEL_PEER_DEVICE;
  const add = `link add ${device} address ${own.mac} type vxlan id ${VNI} local ${own.underlay} dev eth0 dstport ${PORT} nolearning`;
  await runner.ip(node.namespace, [
    ...(present.has(device) ? [] : [add]),
    `address replace ${own.base}/32 dev ${device}`,
    `link set ${device} mtu ${UNDERLAY_MTU - VXLAN_OVERHEAD} up`,
  ]);
}

/** Tells a kernel peer about the other nodes: neighbor, FDB entry, route, in this order, as flannel does. */
export async function programKernelPeer(runner: Runner, node: LabNode, others: readonly Vtep[]): Promise<void> {
  const device = KERNEL_PEER_DEVICE;
  await runner.ip(
    node.namespace,
    others.map((peer) => `neighbor replace ${peer.base} lladdr ${peer.mac} dev ${device} nud permanent`),
  );
  await runner.bridge(
    node.namespace,
    others.map((peer) => `fdb replace ${peer.mac} dev ${device} dst ${peer.underlay}`),
  );
  await runner.ip(
    node.namespace,
    others.map((peer) => `route replace ${peer.base}/${peer.prefixLength} via ${peer.base} dev ${device} onlink`),
  );
}
