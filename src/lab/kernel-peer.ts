// A node without an agent: the kernel's own VXLAN devices, programmed by hand exactly as flannel programs them. It is the
// oracle that our nodes have to interoperate with.
import { linkNames } from "./links.js";
import { type LabNode, UNDERLAY_MTU } from "./plan.js";
import type { NodeSubnet } from "./pod.js";
import type { Runner } from "./runner.js";

export const KERNEL_PEER_DEVICE = "flannel.1";
export const KERNEL_PEER_DEVICE_V6 = "flannel-v6.1";
const VNI = 1;
const PORT = 8472;
const OVERHEAD = 50;
const OVERHEAD_V6 = 70;

/** One family of a VTEP. */
export interface VtepSide {
  /** Base address of its subnet: the VTEP's own overlay address. */
  readonly base: string;
  readonly subnet: string;
  readonly underlay: string;
}

/** What another VTEP has to know about a node. */
export interface Vtep {
  readonly mac: string;
  readonly v4: VtepSide;
  readonly v6: VtepSide | null;
}

/** Kernel peers have fixed subnets, away from those an agent takes by itself. */
export function kernelPeerSubnet(node: LabNode): NodeSubnet {
  const ipv6 = node.underlayV6 === null ? null : { gateway: `${prefixV6(node)}::1`, prefixLength: 64 };
  return { gateway: `10.244.${node.index}.1`, prefixLength: 24, mtu: UNDERLAY_MTU - OVERHEAD, ipv6 };
}

export function kernelPeerVtep(node: LabNode): Vtep {
  return vtepOf(node, kernelPeerSubnet(node), `02:00:0a:f4:${node.index.toString(16).padStart(2, "0")}:00`);
}

/** A node's VTEP, from its subnet and the MAC of its device. */
export function vtepOf(node: LabNode, { gateway, prefixLength, ipv6 }: NodeSubnet, mac: string): Vtep {
  const side = (base: string, length: number, underlay: string) => ({ base, subnet: `${base}/${length}`, underlay });
  const v6 =
    ipv6 === null || node.underlayV6 === null
      ? null
      : side(ipv6.gateway.replace(/::1$/, "::"), ipv6.prefixLength, node.underlayV6);
  return { mac, v4: side(gateway.replace(/\.1$/, ".0"), prefixLength, node.underlay), v6 };
}

export async function buildKernelPeer(runner: Runner, node: LabNode): Promise<void> {
  const own = kernelPeerVtep(node);
  const present = await linkNames(runner, node.namespace);
  const build = (device: string, side: VtepSide, overhead: number, bits: string): string[] => [
    ...(present.has(device)
      ? []
      : [
          `link add ${device} address ${own.mac} type vxlan id ${VNI} local ${side.underlay} dev eth0 dstport ${PORT} nolearning`,
        ]),
    `address replace ${side.base}/${bits} dev ${device}`,
    `link set ${device} mtu ${UNDERLAY_MTU - overhead} up`,
  ];
  await runner.ip(node.namespace, [
    ...build(KERNEL_PEER_DEVICE, own.v4, OVERHEAD, "32"),
    ...(own.v6 === null ? [] : build(KERNEL_PEER_DEVICE_V6, own.v6, OVERHEAD_V6, "128")),
  ]);
}

/** Tells a kernel peer about the other nodes: neighbor, FDB entry, route, in this order, as flannel does. */
export async function programKernelPeer(runner: Runner, node: LabNode, others: readonly Vtep[]): Promise<void> {
  await programSide(runner, node, KERNEL_PEER_DEVICE, others, ({ v4 }) => v4);
  if (node.underlayV6 !== null) await programSide(runner, node, KERNEL_PEER_DEVICE_V6, others, ({ v6 }) => v6);
}

async function programSide(
  runner: Runner,
  node: LabNode,
  device: string,
  others: readonly Vtep[],
  sideOf: (vtep: Vtep) => VtepSide | null,
): Promise<void> {
  const peers = others.flatMap((vtep) => {
    const side = sideOf(vtep);
    return side === null ? [] : [{ mac: vtep.mac, ...side }];
  });
  await runner.ip(
    node.namespace,
    peers.map(({ base, mac }) => `neighbor replace ${base} lladdr ${mac} dev ${device} nud permanent`),
  );
  await runner.bridge(
    node.namespace,
    peers.map(({ mac, underlay }) => `fdb replace ${mac} dev ${device} dst ${underlay}`),
  );
  await runner.ip(
    node.namespace,
    peers.map(({ base, subnet }) => `route replace ${subnet} via ${base} dev ${device} onlink`),
  );
}

function prefixV6({ index }: LabNode): string {
  return `fd00:10:244:${index.toString(16)}`;
}
