// A pod behind cni0, as the bridge CNI plugin leaves it. Its address and MTU follow the lease of its node (subnet.env).
import { readFile } from "node:fs/promises";
import { exactAddress, linkNames } from "./links.js";
import type { LabNode } from "./plan.js";
import type { Runner } from "./runner.js";

/** What a node tells its pods through subnet.env. */
export interface NodeSubnet {
  /** First address of the subnet: cni0's. */
  readonly gateway: string;
  readonly prefixLength: number;
  readonly mtu: number;
  /** The same for IPv6; null without it. */
  readonly ipv6: { readonly gateway: string; readonly prefixLength: number } | null;
}

/** Reads a subnet.env text; null when it is not complete. */
export function parseSubnetFile(text: string): NodeSubnet | null {
  const values = new Map(text.split("\n").map((line) => splitOnce(line)));
  const subnet = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(values.get("FLANNEL_SUBNET") ?? "");
  const mtu = Number(values.get("FLANNEL_MTU"));
  if (subnet?.[1] === undefined || subnet[2] === undefined || !Number.isInteger(mtu) || mtu < 576) return null;
  const v6 = /^([0-9a-f:]+::1)\/(\d+)$/.exec(values.get("FLANNEL_IPV6_SUBNET") ?? "");
  const ipv6 = v6?.[1] === undefined ? null : { gateway: v6[1], prefixLength: Number(v6[2]) };
  return { gateway: subnet[1], prefixLength: Number(subnet[2]), mtu, ipv6 };
}

export async function readSubnetFile(path: string): Promise<NodeSubnet | null> {
  return parseSubnetFile(await readFile(path, "utf8").catch(() => ""));
}

/** The pod's address: the one after cni0's. */
export function podAddress(subnet: NodeSubnet): string {
  const octets = subnet.gateway.split(".").map(Number);
  return [...octets.slice(0, 3), (octets[3] ?? 0) + 1].join(".");
}

/** The pod's IPv6 address; null when its node has no IPv6 subnet. */
export function podAddressV6({ ipv6 }: NodeSubnet): string | null {
  return ipv6 === null ? null : ipv6.gateway.replace(/::1$/, "::2");
}

export async function connectPod(runner: Runner, node: LabNode, subnet: NodeSubnet): Promise<void> {
  const inNode = await linkNames(runner, node.namespace);
  const inPod = await linkNames(runner, node.pod);
  const cabled = inNode.has("pod0") && inPod.has("eth0");
  await runner.ip(node.namespace, [
    ...(inNode.has("cni0") ? [] : ["link add cni0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]),
    ...(!cabled && inNode.has("pod0") ? ["link delete pod0"] : []),
    ...(cabled ? [] : [`link add pod0 type veth peer name eth0 netns ${node.pod}`]),
    `link set pod0 mtu ${subnet.mtu} master cni0 up`,
    `link set cni0 mtu ${subnet.mtu} up`,
    ...(await exactAddress(runner, node.namespace, "cni0", `${subnet.gateway}/${subnet.prefixLength}`)),
    ...(await connectV6(runner, node.namespace, "cni0", subnet, subnet.ipv6?.gateway ?? null)),
  ]);
  await runner.ip(node.pod, [
    ...(await exactAddress(runner, node.pod, "eth0", `${podAddress(subnet)}/${subnet.prefixLength}`)),
    `link set eth0 mtu ${subnet.mtu} up`,
    `route replace default via ${subnet.gateway} dev eth0`,
    ...(await connectV6(runner, node.pod, "eth0", subnet, podAddressV6(subnet))),
    ...(subnet.ipv6 === null ? [] : [`route replace ::/0 via ${subnet.ipv6.gateway} dev eth0`]),
  ]);
}

async function connectV6(
  runner: Runner,
  namespace: string,
  device: string,
  { ipv6 }: NodeSubnet,
  address: string | null,
): Promise<readonly string[]> {
  if (ipv6 === null || address === null) return [];
  return exactAddress(runner, namespace, device, `${address}/${ipv6.prefixLength}`);
}

function splitOnce(line: string): readonly [string, string] {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
