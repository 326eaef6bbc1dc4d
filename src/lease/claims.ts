// Two records that claim the same addresses: the one created first wins, the other is quarantined. Every node decides alike,
// because the order comes from the store. Pure but for the book's memory.
import type { Prefix } from "../addr/address.js";
import { comparePrefixes, formatPrefix, prefixCovers, prefixesOverlap } from "../addr/prefix.js";
import { changesBetween, SharedMap } from "../lib/shared-map.js";
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

/** More changes than this are sorted in together. */
const ONE_BY_ONE_MAX = 64;
const NONE: SettledClaims["quarantined"] = [];

/** Remembers the claims in address order, so that settling again costs what the changes cost, unless there are rivals. */
export class ClaimBook {
  #claims: Claim[] = [];
  /** How many claims overlap the next one. Prefixes nest or are disjoint: when none does, no two claims overlap. */
  #rivals = 0;
  #known: ReadonlyMap<string, Lease> = new Map();
  #settled: SettledClaims = { leases: new Map(), quarantined: NONE };

  settle(leases: ReadonlyMap<string, Lease>): SettledClaims {
    const changes = changesBetween(this.#known, leases);
    this.#known = leases;
    if (changes.length === 0) return this.#settled;
    if (changes.length > ONE_BY_ONE_MAX) this.#resort(changes);
    else {
      for (const [, before] of changes)
        if (before !== undefined) for (const prefix of prefixesOf(before)) this.#remove(prefix, before);
      for (const [, , after] of changes)
        if (after !== undefined) for (const prefix of prefixesOf(after)) this.#insert(prefix, after);
    }
    this.#settled = this.#rivals === 0 ? { leases, quarantined: NONE } : settleSorted(leases, this.#claims);
    return this.#settled;
  }

  /** True when no two leases of the last settled set claim the same address. */
  get disjoint(): boolean {
    return this.#rivals === 0;
  }

  /** Whether a lease of that set holds an address of this one, as far as they are disjoint. */
  isClaimed(lease: Lease): boolean {
    return prefixesOf(lease).some((prefix) => {
      const at = this.#indexOf(prefix);
      return [at - 1, at].some((i) => overlaps(this.#claims[i], prefix));
    });
  }

  #resort(changes: ReturnType<typeof changesBetween<Lease>>): void {
    const gone = new Set(changes.map(([, before]) => before));
    this.#claims = this.#claims.filter(({ lease }) => !gone.has(lease));
    for (const [, , lease] of changes) {
      if (lease !== undefined) this.#claims.push(...prefixesOf(lease).map((prefix) => ({ prefix, lease })));
    }
    this.#claims.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
    this.#rivals = 0;
    for (let i = 0; i + 1 < this.#claims.length; i++) this.#rivals += this.#overlapsNext(i);
  }

  #insert(prefix: Prefix, lease: Lease): void {
    const at = this.#indexOf(prefix);
    this.#rivals -= this.#overlapsNext(at - 1);
    this.#claims.splice(at, 0, { prefix, lease });
    this.#rivals += this.#overlapsNext(at - 1) + this.#overlapsNext(at);
  }

  #remove(prefix: Prefix, lease: Lease): void {
    let at = this.#indexOf(prefix);
    while (at < this.#claims.length && this.#claims[at]?.lease !== lease) at++;
    if (at === this.#claims.length) return;
    this.#rivals -= this.#overlapsNext(at - 1) + this.#overlapsNext(at);
    this.#claims.splice(at, 1);
    this.#rivals += this.#overlapsNext(at - 1);
  }

  #overlapsNext(at: number): 0 | 1 {
    const [claim, next] = [this.#claims[at], this.#claims[at + 1]];
    return claim !== undefined && next !== undefined && prefixesOverlap(claim.prefix, next.prefix) ? 1 : 0;
  }

  /** The first claim that does not come before the prefix. */
  #indexOf(prefix: Prefix): number {
    let [low, high] = [0, this.#claims.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const claim = this.#claims[middle];
      if (claim !== undefined && comparePrefixes(claim.prefix, prefix) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function overlaps(claim: Claim | undefined, prefix: Prefix): boolean {
  return claim !== undefined && prefixesOverlap(claim.prefix, prefix);
}

function prefixesOf({ subnet, ipv6Subnet }: Lease): Prefix[] {
  return [subnet, ipv6Subnet].filter((prefix) => prefix !== null);
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
  const standing =
    leases instanceof SharedMap
      ? (leases as SharedMap<Lease>).with([...losers.keys()].map(({ key }) => [key, undefined]))
      : new Map([...leases].filter(([, lease]) => !losers.has(lease)));
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
