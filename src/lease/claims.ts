// Two records that claim the same addresses: the one created first wins, the other is quarantined. Every node decides alike,
// because the order comes from the store. Pure but for the book's memory.
import type { Prefix } from "../addr/address.js";
import { comparePrefixes, formatPrefix, prefixCovers } from "../addr/prefix.js";
import type { Lease } from "./lease.js";

export interface SettledClaims {
  readonly leases: ReadonlyMap<string, Lease>;
  readonly quarantined: ReadonlyArray<{ readonly key: string; readonly reason: string }>;
}

interface Claim {
  readonly prefix: Prefix;
  readonly lease: Lease;
}

/** One set of leases, once. */
export function settleClaims(leases: ReadonlyMap<string, Lease>): SettledClaims {
  return new ClaimBook().settle(leases);
}

/** Remembers the claims in address order, so that settling again after a few changes costs little more than looking. */
export class ClaimBook {
  #claims: Claim[] = [];
  readonly #known = new Map<string, Lease>();
  #settled: SettledClaims = { leases: new Map(), quarantined: [] };

  settle(leases: ReadonlyMap<string, Lease>): SettledClaims {
    if (this.#adopt(leases)) this.#settled = settleSorted(leases, this.#claims);
    else if (this.#settled.quarantined.length === 0) this.#settled = { leases, quarantined: [] };
    return this.#settled;
  }

  /** True when anything is another than at the last call. */
  #adopt(leases: ReadonlyMap<string, Lease>): boolean {
    const gone = new Set<Lease>();
    for (const [key, lease] of this.#known) {
      if (leases.get(key) === lease) continue;
      gone.add(lease);
      this.#known.delete(key);
    }
    if (gone.size > 0) this.#claims = this.#claims.filter(({ lease }) => !gone.has(lease));
    if (this.#known.size === leases.size) return gone.size > 0;
    for (const [key, lease] of leases) {
      if (this.#known.has(key)) continue;
      this.#known.set(key, lease);
      if (lease.subnet !== null) this.#claims.push({ prefix: lease.subnet, lease });
      if (lease.ipv6Subnet !== null) this.#claims.push({ prefix: lease.ipv6Subnet, lease });
    }
    this.#claims.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
    return true;
  }
}

/** Prefixes nest or are disjoint, so in address order only enclosing ones can overlap. */
function settleSorted(leases: ReadonlyMap<string, Lease>, claims: readonly Claim[]): SettledClaims {
  const rivals = new Map<Lease, Lease[]>();
  const enclosing: Claim[] = [];
  for (const claim of claims) {
    for (
      let top = enclosing.at(-1);
      top !== undefined && !prefixCovers(top.prefix, claim.prefix);
      top = enclosing.at(-1)
    )
      enclosing.pop();
    for (const outer of enclosing) {
      if (outer.lease === claim.lease) continue;
      listOf(rivals, claim.lease).push(outer.lease);
      listOf(rivals, outer.lease).push(claim.lease);
    }
    enclosing.push(claim);
  }
  if (rivals.size === 0) return { leases, quarantined: [] };
  return decide(leases, rivals);
}

/** Oldest first: a lease stands unless an older one that stands itself is its rival. */
function decide(leases: ReadonlyMap<string, Lease>, rivals: ReadonlyMap<Lease, readonly Lease[]>): SettledClaims {
  const losers = new Map<Lease, Lease>();
  for (const lease of [...rivals.keys()].sort(byAge)) {
    const winner = rivals.get(lease)?.find((rival) => byAge(rival, lease) < 0 && !losers.has(rival));
    if (winner !== undefined) losers.set(lease, winner);
  }
  const standing = new Map([...leases].filter(([, lease]) => !losers.has(lease)));
  const quarantined = [...losers].map(([lease, winner]) => ({
    key: lease.key,
    reason: `claims addresses of the older ${winner.key} (${[winner.subnet, winner.ipv6Subnet]
      .filter((prefix) => prefix !== null)
      .map(formatPrefix)
      .join(", ")})`,
  }));
  return { leases: standing, quarantined };
}

function byAge(a: Lease, b: Lease): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  return a.key < b.key ? -1 : a.key === b.key ? 0 : 1;
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key);
  if (list === undefined) {
    list = [];
    map.set(key, list);
  }
  return list;
}
