// The lease store of a lab, as the lab needs it: how agents are told of it, the network configuration in it, and leases for
// kernel peers, which have no agent to take one. One file per kind of store.
import type { Ipv4 } from "../addr/address.js";
import { parseIpv4 } from "../addr/ipv4.js";
import { prefix4 } from "../addr/prefix.js";
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
  const backend: Record<string, unknown> = { Type: options.backend };
  if (options.disable.length > 0) backend.DataPlane = { Disable: options.disable };
  return JSON.stringify({ Network: plan.network, Backend: backend }, null, 2);
}

export function kernelPeerLease(node: LabNode): PeerLease {
  const vtep = kernelPeerVtep(node);
  const attrs: LeaseAttrs = {
    publicIp: address(node.underlay),
    publicIpv6: null,
    backendType: "vxlan",
    backendData: { VNI: 1, VtepMAC: vtep.mac },
  };
  return { subnet: prefix4(address(vtep.base), vtep.prefixLength), ipv6Subnet: null, attrs };
}

function address(text: string): Ipv4 {
  const parsed = parseIpv4(text);
  if (parsed === null) throw new Error(`${text} is no IPv4 address`);
  return parsed;
}
