// The lease store of a lab, as the lab needs it: how agents are told of it, the network configuration in it, and leases for
// kernel peers, which have no agent to take one. One file per kind of store.
import { parseIpv4 } from "../addr/ipv4.js";
import { parseIpv6 } from "../addr/ipv6.js";
import { parsePrefix4, parsePrefix6 } from "../addr/prefix.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { EtcdLabStore } from "./etcd-lab-store.js";
import { FileLabStore } from "./file-lab-store.js";
import { kernelPeerVtep } from "./kernel-peer.js";
import type { LabLock } from "./lock.js";
import type { LabNode, LabPlan } from "./plan.js";

/** What a kernel peer says of itself in its lease. */
export type PeerLease = Pick<Lease, "subnet" | "ipv6Subnet" | "attrs">;

export interface LabStore {
  /** The agents' flags. */
  readonly agentArguments: readonly string[];
  /** Starts what has to run and puts the network configuration where agents look for it. May be repeated. */
  prepare(lock: LabLock, networkConfig: string, signal?: AbortSignal): Promise<void>;
  /** Makes sure that the lease is there; rejects when somebody else holds the subnet. Never expires. */
  hold(lease: PeerLease): Promise<void>;
  /** Gives up what `hold` made. */
  release(lease: PeerLease): Promise<void>;
}

export function labStore(plan: LabPlan): LabStore {
  return plan.options.store === "etcd" ? new EtcdLabStore(plan) : new FileLabStore(plan);
}

/** The network configuration every agent of this lab reads, in flannel's form. */
export function networkConfig(plan: LabPlan): string {
  const { options } = plan;
  const backend: Record<string, unknown> = { Type: options.backend, ...options.backendOptions };
  if (options.disable.length > 0) backend.DataPlane = { Disable: options.disable };
  const dual = plan.ipv6 === null ? {} : { EnableIPv6: true, IPv6Network: plan.ipv6.network };
  return JSON.stringify({ Network: plan.network, ...dual, Backend: backend }, null, 2);
}

export function kernelPeerLease(node: LabNode): PeerLease {
  const { mac, v4, v6 } = kernelPeerVtep(node);
  const data = { VNI: 1, VtepMAC: mac };
  const attrs: LeaseAttrs = {
    publicIp: required(parseIpv4(v4.underlay), v4.underlay),
    publicIpv6: v6 === null ? null : required(parseIpv6(v6.underlay), v6.underlay),
    backendType: "vxlan",
    backendData: data,
    ...(v6 === null ? {} : { backendV6Data: data }),
  };
  return { subnet: parsePrefix4(v4.subnet), ipv6Subnet: v6 === null ? null : parsePrefix6(v6.subnet), attrs };
}

function required<T>(parsed: T | null, text: string): T {
  if (parsed === null) throw new Error(`${text} is no address`);
  return parsed;
}
