// What a lab consists of, computed from its options: names, addresses, folders. Pure: no I/O, nothing is created here.
//
//   rs-p1 eth0 --- pod0 [ cni0 | rs-n1 | eth0 ] --- n1 [ under0 | rs-net ] n2 --- [ eth0 | rs-n2 | cni0 ] pod0 --- eth0 rs-p2
//         pod            node, 192.168.77.1             switch, .254                 node, 192.168.77.2           pod
import { join } from "node:path";
import { z } from "zod";
import { RipstopError } from "../lib/errors.js";

export const LAB_DIRECTORY = "/run/ripstop-lab";
export const UNDERLAY_MTU = 1500;
export const NODES_MAX = 250;

export const DATAPLANES = ["auto", "kernel", "userspace"] as const;
export const UNDERLAY_PORTS = ["auto", "tap", "xdp", "packet", "udp"] as const;

/** Written to lab.json before anything is created, so that `down` knows what to look for whatever happened to `up`. */
export const labOptionsSchema = z
  .object({
    /** Start of every namespace name; tests choose their own. */
    prefix: z.string().regex(/^[a-z][a-z0-9-]{0,20}-$/),
    nodes: z.number().int().min(1).max(NODES_MAX),
    /** Indices of nodes without an agent: kernel VXLAN programmed by hand, the peer to interoperate with. */
    kernelPeers: z.array(z.number().int().min(1)).readonly(),
    backend: z.enum(["vxlan", "udp", "host-gw", "wireguard", "ipip", "alloc", "extension"]),
    /** More fields of the network configuration's Backend object, e.g. DirectRouting or an extension's commands. */
    backendOptions: z.record(z.string(), z.json()).default({}),
    /** Dual stack: every node has an IPv6 address too, and every lease an IPv6 subnet. */
    ipv6: z.boolean().default(false),
    /** Queues of each node's cable, at both ends and both ways. */
    cableQueues: z.number().int().min(1).max(8).default(1),
    dataplane: z.enum(DATAPLANES),
    underlayPort: z.enum(UNDERLAY_PORTS),
    /** Data-plane features forced off on every node, e.g. "tunnel-gso". */
    disable: z.array(z.string().regex(/^[a-z0-9-]+$/)).readonly(),
    store: z.enum(["file", "etcd"]),
    /** More flags for every agent. */
    agentFlags: z.array(z.string()).readonly().optional(),
  })
  .strict();

export type LabOptions = z.infer<typeof labOptionsSchema>;

export const DEFAULT_OPTIONS: LabOptions = {
  prefix: "rs-",
  nodes: 2,
  kernelPeers: [],
  backend: "vxlan",
  backendOptions: {},
  ipv6: false,
  cableQueues: 1,
  dataplane: "auto",
  underlayPort: "auto",
  disable: [],
  store: "file",
};

export interface LabNode {
  readonly index: number;
  readonly kind: "agent" | "kernel-peer";
  /** Network namespace of the node. */
  readonly namespace: string;
  /** Network namespace of its pod. */
  readonly pod: string;
  /** Address of the node's eth0 on the underlay. */
  readonly underlay: string;
  /** The same for IPv6; null in a lab of IPv4 alone. */
  readonly underlayV6: string | null;
  /** The switch's end of the node's cable. */
  readonly switchPort: string;
  /** Run folder, state folder, subnet file and log of the node. */
  readonly directory: string;
}

export interface LabPlan {
  readonly options: LabOptions;
  readonly directory: string;
  readonly switchNamespace: string;
  readonly switchBridge: string;
  readonly gateway: string;
  readonly underlayPrefixLength: number;
  /** The overlay network that the leases are cut from. */
  readonly network: string;
  /** Null in a lab of IPv4 alone. */
  readonly ipv6: { readonly gateway: string; readonly underlayPrefixLength: number; readonly network: string } | null;
  readonly nodes: readonly LabNode[];
}

export function planLab(options: LabOptions, directory: string): LabPlan {
  for (const index of options.kernelPeers) {
    if (index > options.nodes) {
      throw new RipstopError(
        "LAB_BAD_OPTION",
        `kernel peer ${index} is not one of the ${options.nodes} nodes; raise --nodes`,
      );
    }
  }
  if (options.kernelPeers.length > 0 && options.backend !== "vxlan") {
    throw new RipstopError(
      "LAB_BAD_OPTION",
      `kernel peers speak VXLAN only; use --backend vxlan, not ${options.backend}`,
    );
  }
  const nodes = Array.from({ length: options.nodes }, (_, i): LabNode => {
    const index = i + 1;
    return {
      index,
      kind: options.kernelPeers.includes(index) ? "kernel-peer" : "agent",
      namespace: `${options.prefix}n${index}`,
      pod: `${options.prefix}p${index}`,
      underlay: `192.168.77.${index}`,
      underlayV6: options.ipv6 ? `fd00:77::${index.toString(16)}` : null,
      switchPort: `n${index}`,
      directory: join(directory, `node${index}`),
    };
  });
  return {
    options,
    directory,
    switchNamespace: `${options.prefix}net`,
    switchBridge: "under0",
    gateway: "192.168.77.254",
    underlayPrefixLength: 24,
    network: "10.244.0.0/16",
    ipv6: options.ipv6 ? { gateway: "fd00:77::fe", underlayPrefixLength: 64, network: "fd00:10:244::/48" } : null,
    nodes,
  };
}

/** alloc only hands out subnets: pods of different nodes do not reach each other. */
export function carriesTraffic(plan: LabPlan): boolean {
  return plan.options.backend !== "alloc";
}

/** Backends that the data plane carries; the others are plain routes. */
export function hasDataplane({ options }: LabPlan): boolean {
  return options.dataplane !== "kernel" && (options.backend === "vxlan" || options.backend === "udp");
}

export function namespacesOf(plan: LabPlan): string[] {
  return [plan.switchNamespace, ...plan.nodes.flatMap((node) => [node.namespace, node.pod])];
}

/** The lab's files. One place, because `down` must find what `up` wrote. */
export const labFiles = {
  config: (directory: string) => join(directory, "lab.json"),
  processes: (directory: string) => join(directory, "processes"),
  record: (directory: string, name: string) => join(directory, "processes", `${name}.stat`),
  log: (directory: string, name: string) => join(directory, "log", `${name}.log`),
  store: (directory: string) => join(directory, "store"),
  subnetFile: (node: LabNode) => join(node.directory, "subnet.env"),
  cniConfig: (node: LabNode) => join(node.directory, "cni", "10-ripstop.conflist"),
};
