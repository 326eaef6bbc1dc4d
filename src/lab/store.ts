// The lease store of a lab: a folder that all agents share, or one etcd on the switch. Network namespaces share the file
// system, so the folder needs no server.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ipv4 } from "../addr/address.js";
import { parseIpv4 } from "../addr/ipv4.js";
import { prefix4 } from "../addr/prefix.js";
import type { LeaseAttrs } from "../lease/lease.js";
import { RipstopError } from "../lib/errors.js";
import { FileStore } from "../store/file/file-store.js";
import { kernelPeerVtep } from "./kernel-peer.js";
import { type LabNode, type LabPlan, labFiles } from "./plan.js";

/** The network configuration every agent of this lab reads, in flannel's form. */
export function networkConfig(plan: LabPlan): string {
  const { options } = plan;
  const backend: Record<string, unknown> = { Type: options.backend };
  if (options.disable.length > 0) backend.DataPlane = { Disable: options.disable };
  return JSON.stringify({ Network: plan.network, Backend: backend }, null, 2);
}

export function storeArguments(plan: LabPlan): string[] {
  return ["--store=file", `--store-dir=${labFiles.store(plan.directory)}`];
}

/** Puts the network configuration where the agents look for it. */
export async function prepareStore(plan: LabPlan): Promise<void> {
  const folder = labFiles.store(plan.directory);
  await mkdir(folder, { recursive: true });
  const path = join(folder, "config");
  await writeFile(`${path}.new`, networkConfig(plan));
  await rename(`${path}.new`, path);
}

/** Kernel peers hold leases like everybody, so that agents learn of them; only nobody renews theirs. */
export async function leaseKernelPeers(plan: LabPlan, signal: AbortSignal): Promise<void> {
  const peers = plan.nodes.filter((node) => node.kind === "kernel-peer");
  if (peers.length === 0) return;
  const store = new FileStore({ directory: labFiles.store(plan.directory) });
  try {
    for (const node of peers) {
      const subnet = prefix4(address(kernelPeerVtep(node).base), kernelPeerVtep(node).prefixLength);
      const attrs = kernelPeerAttrs(node);
      const outcome = await store.createLease({ subnet, ipv6Subnet: null }, attrs, null, signal);
      if (outcome.created || outcome.holder?.attrs.publicIp === attrs.publicIp) continue;
      throw new RipstopError(
        "LAB_DIFFERENT",
        `${kernelPeerVtep(node).base}/24 of kernel peer ${node.namespace} is leased to a node; run \`ripstop lab down\` first`,
      );
    }
  } finally {
    await store.close();
  }
}

/** For kernel peers that leave the lab. */
export async function releaseKernelPeers(plan: LabPlan, gone: readonly LabNode[], signal: AbortSignal): Promise<void> {
  const addresses = new Set(gone.filter((node) => node.kind === "kernel-peer").map((node) => address(node.underlay)));
  if (addresses.size === 0) return;
  const store = new FileStore({ directory: labFiles.store(plan.directory) });
  try {
    for (const lease of (await store.listLeases(signal)).leases.values()) {
      if (lease.attrs.publicIp !== null && addresses.has(lease.attrs.publicIp)) await store.deleteLease(lease, signal);
    }
  } finally {
    await store.close();
  }
}

function kernelPeerAttrs(node: LabNode): LeaseAttrs {
  return {
    publicIp: address(node.underlay),
    publicIpv6: null,
    backendType: "vxlan",
    backendData: { VNI: 1, VtepMAC: kernelPeerVtep(node).mac },
  };
}

function address(text: string): Ipv4 {
  const parsed = parseIpv4(text);
  if (parsed === null) throw new Error(`${text} is no IPv4 address`);
  return parsed;
}
