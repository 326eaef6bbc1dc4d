// Getting a subnet at start: reuse what is ours, else what we had, else a free one; start over whenever another node was
// quicker. Owned by the subnet manager. Never touches a record that carries another node's public IP.
import type { Ipv4, Ipv6, Prefix } from "../addr/address.js";
import { prefixEquals } from "../addr/prefix.js";
import { decodeSubnetKey } from "../lease/codec.js";
import { settleClaims } from "../lease/claims.js";
import { sameAttrs } from "../lease/differ.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import type { LeaseSnapshot, Store, Subnets } from "../store/store.js";
import { claimAssigned, type OverlayNetworks } from "./assigned-claim.js";
import { fitsRanges, isFree, pickSubnets, type SubnetRanges } from "./allocator.js";

/** 24 h, as every flannel node expects. */
export const LEASE_TTL_SECONDS = 86_400;

/** How other nodes know this one. */
export interface NodeIdentity {
  readonly publicIp: Ipv4 | null;
  readonly publicIpv6: Ipv6 | null;
}

export type ClaimOutcome =
  | { readonly kind: "acquired"; readonly lease: Lease; readonly how: "reused" | "previous" | "allocated" }
  /** Somebody else was quicker: look again. */
  | { readonly kind: "conflict" }
  | { readonly kind: "exhausted"; readonly message: string };

export interface ClaimRequest {
  readonly store: Store;
  readonly ranges: SubnetRanges;
  /** The overlay networks, where the store hands out subnets: they must lie inside. */
  readonly networks?: OverlayNetworks;
  readonly identity: NodeIdentity;
  /** What subnet.env said. */
  readonly previous: Subnets | null;
  /** Our record as this node wrote it last, maybe under another public IP; null: nobody knows. */
  readonly former?: Pick<Lease, "key" | "attrs"> | null;
  /** What the lease shall say; gets our earlier record, whose VTEP MAC is kept. */
  readonly attrsFor: (previous: LeaseAttrs | null) => Promise<LeaseAttrs>;
  readonly random: () => number;
}

/** True when the record was written by a node with this identity. IPv4 decides where both have one, as in flannel. */
export function isOwn(attrs: LeaseAttrs, identity: NodeIdentity): boolean {
  if (identity.publicIp !== null && attrs.publicIp !== null) return attrs.publicIp === identity.publicIp;
  return identity.publicIpv6 !== null && attrs.publicIpv6 === identity.publicIpv6;
}

/** Exactly what we wrote, so nobody has taken it over since, a node that has our old public IP now included. */
function isFormer({ key, attrs }: Lease, former: Pick<Lease, "key" | "attrs"> | null): boolean {
  return former !== null && key === former.key && sameAttrs(attrs, former.attrs);
}

/** One round over one snapshot. */
export async function claimSubnet(request: ClaimRequest, signal: AbortSignal): Promise<ClaimOutcome> {
  const { store, ranges } = request;
  if (store.assignment !== undefined) return await claimAssigned(store.assignment, request, signal);
  const snapshot = await store.listLeases(signal);
  const own = [...snapshot.leases.values()].filter(
    (lease) => isOwn(lease.attrs, request.identity) || isFormer(lease, request.former ?? null),
  );
  const standing = settleClaims(snapshot.leases).leases;
  const usable = own
    .filter((lease) => fitsRanges(lease, ranges) && standing.has(lease.key))
    .sort((a, b) => preference(a, b, request.previous));
  const [held] = usable;
  const attrs = await request.attrsFor((held ?? own[0])?.attrs ?? null);
  if (held !== undefined) {
    const outcome = await store.renewLease(held, attrs, held.expiresAt === null ? null : LEASE_TTL_SECONDS, signal);
    return outcome.created ? { kind: "acquired", lease: outcome.lease, how: "reused" } : { kind: "conflict" };
  }
  // Ours, but the configuration no longer hands out such subnets. A reservation stays: somebody made it on purpose.
  const outdated = own.filter((lease) => lease.expiresAt !== null);
  for (const lease of outdated) await store.deleteLease(lease, signal);
  const taken = takenPrefixes(snapshot, new Set(outdated.map((lease) => lease.key)));
  const previous = request.previous;
  const wanted = previous !== null && fitsRanges(previous, ranges) && isFree(previous, taken) ? previous : null;
  const subnets = wanted ?? pickSubnets(ranges, taken, request.random);
  if (typeof subnets === "string") return { kind: "exhausted", message: subnets };
  const outcome = await store.createLease(subnets, attrs, LEASE_TTL_SECONDS, signal);
  if (!outcome.created) return { kind: "conflict" };
  if (!(await stands(store, outcome.lease, signal))) return { kind: "conflict" };
  return { kind: "acquired", lease: outcome.lease, how: wanted === null ? "allocated" : "previous" };
}

/**
 * The key names both families, so it is free while another node takes one half of it under another key. Whoever came first
 * keeps it, and the later of the two always sees the earlier one here; it gives its own back.
 */
export async function stands(store: Store, lease: Lease, signal: AbortSignal): Promise<boolean> {
  const { leases } = await store.listLeases(signal);
  if (settleClaims(leases).leases.has(lease.key)) return true;
  await store.deleteLease(lease, signal);
  return false;
}

/** Everything that must not be handed out: leases, and records that cannot be read but whose key names a subnet. */
function takenPrefixes(snapshot: LeaseSnapshot, except: ReadonlySet<string>): Prefix[] {
  const taken: Prefix[] = [];
  const add = ({ subnet, ipv6Subnet }: Subnets) =>
    taken.push(...[subnet, ipv6Subnet].filter((prefix) => prefix !== null));
  for (const lease of snapshot.leases.values()) if (!except.has(lease.key)) add(lease);
  for (const { key } of snapshot.quarantined) {
    const decoded = decodeSubnetKey(key.slice(key.lastIndexOf("/") + 1));
    if (decoded.ok) add(decoded.value);
  }
  return taken;
}

/** The subnet that subnet.env names first, then the oldest. */
function preference(a: Lease, b: Lease, previous: Subnets | null): number {
  const isPrevious = (lease: Lease) =>
    previous !== null &&
    prefixEquals(lease.subnet, previous.subnet) &&
    prefixEquals(lease.ipv6Subnet, previous.ipv6Subnet);
  if (isPrevious(a) !== isPrevious(b)) return isPrevious(a) ? -1 : 1;
  return a.createRevision < b.createRevision ? -1 : 1;
}
