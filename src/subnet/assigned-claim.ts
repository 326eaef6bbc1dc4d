// Taking the subnet that the store hands out (Kubernetes: spec.podCIDRs). There is nothing to choose and nobody to race; it
// may only come late, or not fit. Owned by the subnet manager.
import type { Prefix, Prefix4, Prefix6 } from "../addr/address.js";
import { formatPrefix, prefixCovers } from "../addr/prefix.js";
import type { NodeAssignment, Subnets } from "../store/store.js";
import type { ClaimOutcome, ClaimRequest } from "./lease-claim.js";

/** Null where the family is off. */
export interface OverlayNetworks {
  readonly network: Prefix4 | null;
  readonly ipv6Network: Prefix6 | null;
}

export async function claimAssigned(
  assignment: NodeAssignment,
  { store, networks, attrsFor }: ClaimRequest,
  signal: AbortSignal,
): Promise<ClaimOutcome> {
  const assigned = await assignment.subnets(signal);
  if (typeof assigned === "string") return { kind: "exhausted", message: assigned };
  const subnets = networks === undefined ? assigned : fitted(assigned, networks, assignment.key);
  if (typeof subnets === "string") return { kind: "exhausted", message: subnets };
  const before = (await store.listLeases(signal)).leases.get(assignment.key);
  const attrs = await attrsFor(before?.attrs ?? null);
  const outcome = await store.createLease(subnets, attrs, null, signal);
  if (!outcome.created) return { kind: "conflict" };
  return { kind: "acquired", lease: outcome.lease, how: before === undefined ? "allocated" : "reused" };
}

/** The subnets of the families that are on, or what is wrong with them, in flannel's words. */
function fitted(subnets: Subnets, { network, ipv6Network }: OverlayNetworks, node: string): Subnets | string {
  const problem = misfit(subnets.subnet, network, node) ?? misfit(subnets.ipv6Subnet, ipv6Network, node);
  if (problem !== null) return problem;
  return {
    subnet: network === null ? null : subnets.subnet,
    ipv6Subnet: ipv6Network === null ? null : subnets.ipv6Subnet,
  };
}

function misfit(subnet: Prefix | null, network: Prefix | null, node: string): string | null {
  if (network === null) return null;
  if (subnet === null)
    return `node "${node}" has no IPv${network.family} pod CIDR, but the flannel net config enables IPv${network.family}`;
  if (prefixCovers(network, subnet)) return null;
  return `subnet "${formatPrefix(network)}" specified in the flannel net config doesn't contain "${formatPrefix(subnet)}" PodCIDR of the "${node}" node`;
}
