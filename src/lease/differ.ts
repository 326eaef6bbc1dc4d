// What changed between two snapshots, for consumers that must announce it and for logs. Compares everything a peer
// publishes, not only its subnet: flannel compared subnets and missed changed MACs and addresses. Pure.
import { prefixEquals } from "../addr/prefix.js";
import { jsonEquals } from "../lib/json.js";
import type { Lease, LeaseAttrs } from "./lease.js";

export interface LeaseDiff {
  readonly added: readonly Lease[];
  readonly changed: ReadonlyArray<{ readonly before: Lease; readonly after: Lease }>;
  readonly removed: readonly Lease[];
}

export function diffLeases(before: ReadonlyMap<string, Lease>, after: ReadonlyMap<string, Lease>): LeaseDiff {
  const added: Lease[] = [];
  const changed: { before: Lease; after: Lease }[] = [];
  const removed: Lease[] = [];
  for (const [key, lease] of after) {
    const old = before.get(key);
    if (old === undefined) added.push(lease);
    else if (!sameLease(old, lease)) changed.push({ before: old, after: lease });
  }
  for (const [key, lease] of before) if (!after.has(key)) removed.push(lease);
  return { added, changed, removed };
}

/** True when both say the same to a peer; when they expire and which write made them is of no interest to it. */
export function sameLease(a: Lease, b: Lease): boolean {
  if (a === b) return true;
  return prefixEquals(a.subnet, b.subnet) && prefixEquals(a.ipv6Subnet, b.ipv6Subnet) && sameAttrs(a.attrs, b.attrs);
}

export function sameAttrs(a: LeaseAttrs, b: LeaseAttrs): boolean {
  return (
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6 &&
    a.backendType === b.backendType &&
    jsonEquals(a.backendData ?? null, b.backendData ?? null) &&
    jsonEquals(a.backendV6Data ?? null, b.backendV6Data ?? null)
  );
}
