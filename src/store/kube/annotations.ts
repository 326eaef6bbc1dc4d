// flannel's node annotations: their names under a prefix, and a lease written into them and read back. They come from whoever
// may patch nodes, so reading returns a reason instead of throwing, and one bad node is one reason. Pure.
import { formatIpv4, parseIpv4 } from "../../addr/ipv4.js";
import { formatIpv6, parseIpv6 } from "../../addr/ipv6.js";
import { parsePrefix } from "../../addr/prefix.js";
import type { Prefix4, Prefix6 } from "../../addr/address.js";
import type { LeaseAttrs } from "../../lease/lease.js";
import { RipstopError } from "../../lib/errors.js";
import { goJson } from "../../lib/json.js";
import type { NodeAddresses, Subnets } from "../store.js";
import { type KubeNode, VALUE_CHARS_MAX } from "./node.js";

export interface AnnotationNames {
  readonly subnetManager: string;
  readonly backendType: string;
  readonly backendData: string;
  readonly backendV6Data: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  /** Written by users: published instead of the address that was found, for instance behind NAT. */
  readonly publicIpOverwrite: string;
  readonly publicIpv6Overwrite: string;
  /** Written by users: acts like -public-ip. */
  readonly nodePublicIp: string;
  readonly nodePublicIpv6: string;
}

/** A domain with at least one dot, a slash, and what the names continue. */
const PREFIX = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\/[0-9a-z_-]*$/;

/** The rule of flannel's -kube-annotation-prefix: a slash is added where there is none, else a dash where none ends it. */
export function annotationNames(prefix: string): AnnotationNames {
  const slashes = prefix.split("/").length - 1;
  let start = slashes === 0 ? `${prefix}/` : prefix;
  if (!/[/-]$/.test(start)) start += "-";
  if (slashes > 1 || !PREFIX.test(start)) {
    throw new RipstopError(
      "FLAG_INVALID",
      `-kube-annotation-prefix="${prefix}" is no annotation prefix: give a lower-case domain with a dot, such as flannel.alpha.coreos.com or example.org/net`,
    );
  }
  const name = (rest: string) => `${start}${rest}`;
  return {
    subnetManager: name("kube-subnet-manager"),
    backendType: name("backend-type"),
    backendData: name("backend-data"),
    backendV6Data: name("backend-v6-data"),
    publicIp: name("public-ip"),
    publicIpv6: name("public-ipv6"),
    publicIpOverwrite: name("public-ip-overwrite"),
    publicIpv6Overwrite: name("public-ipv6-overwrite"),
    nodePublicIp: name("node-public-ip"),
    nodePublicIpv6: name("node-public-ipv6"),
  };
}

/** The subnets that the cluster gave the node, or why there are none. Of two of one family the first counts. */
export function assignedSubnets({ name, podCidrs }: KubeNode): Subnets | string {
  if (podCidrs.length === 0) return `node "${name}" pod cidr not assigned`;
  if (podCidrs.length > 2)
    return `node "${name}" has ${podCidrs.length} pod CIDRs; at most one of each family is possible`;
  let subnet: Prefix4 | null = null;
  let ipv6Subnet: Prefix6 | null = null;
  for (const text of podCidrs) {
    const prefix = parsePrefix(text);
    if (prefix === null) return `pod CIDR ${JSON.stringify(text.slice(0, 64))} of node "${name}" is no CIDR`;
    if (prefix.family === 4) subnet ??= prefix;
    else ipv6Subnet ??= prefix;
  }
  return { subnet, ipv6Subnet };
}

export interface NodeLease {
  readonly subnets: Subnets;
  readonly attrs: LeaseAttrs;
}

/** What the node published; null when it takes no part in the overlay; a text says why it cannot be used. */
export function decodeNode(node: KubeNode, names: AnnotationNames): NodeLease | null | string {
  const text = (name: string) => node.annotations.get(name) ?? "";
  if (text(names.subnetManager) !== "true") return null;
  const subnets = assignedSubnets(node);
  if (typeof subnets === "string") return subnets;
  for (const [name, value] of node.annotations) {
    if (value.length > VALUE_CHARS_MAX) return `annotation ${name} has more than ${VALUE_CHARS_MAX} characters`;
  }
  const publicIp = address(names.publicIp, text(names.publicIp), parseIpv4);
  if (typeof publicIp === "string") return publicIp;
  const publicIpv6 = address(names.publicIpv6, text(names.publicIpv6), parseIpv6);
  if (typeof publicIpv6 === "string") return publicIpv6;
  if (publicIp === null && publicIpv6 === null) return `annotation ${names.publicIp} is missing`;
  const backendData = json(names.backendData, text(names.backendData));
  if (!backendData.ok) return backendData.reason;
  const backendV6Data = json(names.backendV6Data, text(names.backendV6Data));
  if (!backendV6Data.ok) return backendV6Data.reason;
  return {
    // A family without an address to send to has nobody behind it.
    subnets: {
      subnet: publicIp === null ? null : subnets.subnet,
      ipv6Subnet: publicIpv6 === null ? null : subnets.ipv6Subnet,
    },
    attrs: {
      publicIp,
      publicIpv6,
      backendType: text(names.backendType),
      ...(backendData.value === null ? {} : { backendData: backendData.value }),
      ...(backendV6Data.value === null ? {} : { backendV6Data: backendV6Data.value }),
    },
  };
}

/** The annotations that say `attrs`; those that stay as they are are left out. Texts as flannel's Go writes them. */
export function encodeAttrs(attrs: LeaseAttrs, node: KubeNode, names: AnnotationNames): Record<string, string> {
  const wanted: Record<string, string> = { [names.subnetManager]: "true", [names.backendType]: attrs.backendType };
  const data = goJson(attrs.backendData ?? null);
  const v6Data = goJson(attrs.backendV6Data ?? null);
  const keyed = attrs.backendType === "vxlan" || attrs.backendType === "wireguard";
  if (attrs.publicIp !== null && (!keyed || data !== "null")) {
    wanted[names.backendData] = data;
    wanted[names.publicIp] = formatIpv4(published(attrs, node, names).publicIp ?? attrs.publicIp);
  }
  const v6 = keyed ? v6Data !== "null" : attrs.backendType === "host-gw" || attrs.backendType === "extension";
  if (attrs.publicIpv6 !== null && v6) {
    wanted[names.backendV6Data] = v6Data;
    wanted[names.publicIpv6] = formatIpv6(published(attrs, node, names).publicIpv6 ?? attrs.publicIpv6);
  }
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => node.annotations.get(name) !== value));
}

/** `attrs` as other nodes see them: with the addresses that the user wrote instead of ours. */
export function published(attrs: LeaseAttrs, node: KubeNode, names: AnnotationNames): LeaseAttrs {
  const v4 = parseIpv4(node.annotations.get(names.publicIpOverwrite) ?? "");
  const v6 = parseIpv6(node.annotations.get(names.publicIpv6Overwrite) ?? "");
  return {
    ...attrs,
    publicIp: attrs.publicIp === null ? null : (v4 ?? attrs.publicIp),
    publicIpv6: attrs.publicIpv6 === null ? null : (v6 ?? attrs.publicIpv6),
  };
}

/** node-public-ip and node-public-ipv6, and what is wrong with them and with those that overwrite ours. */
export function nodeAddresses(node: KubeNode, names: AnnotationNames): NodeAddresses {
  const problems: string[] = [];
  const read = <T>(name: string, parse: (text: string) => T | null): T | null => {
    const value = address(name, node.annotations.get(name) ?? "", parse);
    if (typeof value !== "string") return value;
    problems.push(value);
    return null;
  };
  for (const [name, parse] of [
    [names.publicIpOverwrite, parseIpv4],
    [names.publicIpv6Overwrite, parseIpv6],
  ] as const)
    read<unknown>(name, parse);
  return {
    publicIp: read(names.nodePublicIp, parseIpv4),
    publicIpv6: read(names.nodePublicIpv6, parseIpv6),
    problems,
  };
}

function address<T>(name: string, text: string, parse: (text: string) => T | null): T | null | string {
  if (text === "") return null;
  return parse(text) ?? `annotation ${name} is ${JSON.stringify(text.slice(0, 64))}, which is no address`;
}

function json(name: string, text: string): { ok: true; value: unknown } | { ok: false; reason: string } {
  if (text === "") return { ok: true, value: null };
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch {
    return { ok: false, reason: `annotation ${name} is ${JSON.stringify(text.slice(0, 64))}, which is no JSON` };
  }
}
