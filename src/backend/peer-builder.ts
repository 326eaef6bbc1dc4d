// All leases -> all peers, again and again. Remembers what each lease gave: a lease object never changes, and a new record is a
// new object. So building costs work for the changed ones only, and a peer that is as before is the same object at the same
// place, which is how everybody else sees what changed. Owned by one overlay.
import { prefixEquals } from "../addr/prefix.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { sameUnderlay } from "../host/text.js";
import type { Lease } from "../lease/lease.js";
import { changesBetween } from "../lib/shared-map.js";
import type { RefusedPeer } from "./backend.js";
import { PeerSlots } from "./peer-slots.js";
import { type OwnIdentity, type PeerRules, readPeers } from "./peers.js";

/** True when a plain route reaches the peer without a gateway. */
export type DirectTest = (underlay: UnderlayAddress) => boolean;

export interface BuiltPeers {
  readonly peers: readonly Peer[];
  readonly refused: readonly RefusedPeer[];
}

type Result = Peer | RefusedPeer;

interface Known {
  readonly results: readonly Result[];
  /** By network: a peer keeps its number for as long as its lease lives. */
  readonly ids: readonly number[];
}

const UNKNOWN: Known = { results: [], ids: [] };

export class PeerBuilder {
  readonly #own: OwnIdentity;
  readonly #rules: PeerRules;
  readonly #known = new Map<string, Known>();
  readonly #slots = new PeerSlots();
  readonly #macs = new MacCounts();
  readonly #refused = new Map<string, readonly RefusedPeer[]>();
  /** Of MACs that several claim: whose it is. */
  #owners = new Map<string, string>();
  #leases: ReadonlyMap<string, Lease> = new Map();
  #isDirect: DirectTest | null = null;
  #nextId = 1;

  constructor(own: OwnIdentity, rules: PeerRules) {
    this.#own = own;
    this.#rules = rules;
  }

  /** Of leases that claim different addresses (lease/claims.ts). */
  build(leases: ReadonlyMap<string, Lease>, isDirect: DirectTest): BuiltPeers {
    if (isDirect !== this.#isDirect) this.#redirect(isDirect);
    const claims = new Set<Peer>();
    for (const [key, , lease] of changesBetween(this.#leases, leases)) {
      const known = this.#known.get(key) ?? UNKNOWN;
      const read = lease === undefined ? UNKNOWN : this.#read(key, lease, known, isDirect);
      const before = new Set(keysOf(known.results));
      for (const peer of read.results) if (isPeer(peer) && !before.has(macKey(peer))) claims.add(peer);
      this.#replace(key, known, read);
      if (lease === undefined) this.#known.delete(key);
    }
    this.#leases = leases;
    this.#isDirect = isDirect;
    const peers = this.#slots.list();
    const refused = [...this.#refused.values()].flat();
    if (!this.#macs.anyShared) {
      this.#owners.clear();
      return { peers, refused };
    }
    const owners = ownersOf(peers, leases, this.#owners, claims);
    this.#owners = new Map([...owners].map(([mac, { leaseKey }]) => [mac, leaseKey]));
    return { peers: settleMacs(peers, owners, refused), refused };
  }

  #read(key: string, lease: Lease, known: Known, isDirect: DirectTest): Known {
    const ids = this.#rules.networks.map((_, i) => known.ids[i] ?? this.#nextId++);
    const results = readPeers(lease, key, this.#own, this.#rules).flatMap((outcome, i): Result[] => {
      if (outcome === null) return [];
      if ("reason" in outcome) return [{ key: lease.key, reason: outcome.reason }];
      return [turned(keepSame({ id: ids[i] ?? 0, ...outcome }, known.results), isDirect)];
    });
    return { ids, results };
  }

  #replace(key: string, before: Known, after: Known): void {
    this.#macs.remove(before.results);
    this.#macs.add(after.results);
    this.#known.set(key, after);
    const refused = after.results.filter(isRefused);
    if (refused.length > 0) this.#refused.set(key, refused);
    else this.#refused.delete(key);
    const peers = after.results.filter(isPeer);
    for (const result of before.results) {
      if (isPeer(result) && !peers.some(({ id }) => id === result.id)) this.#slots.remove(result.id);
    }
    for (const peer of peers) this.#slots.put(peer);
  }

  /** The host's routes are others. */
  #redirect(isDirect: DirectTest): void {
    for (const [key, known] of this.#known) {
      const results = known.results.map((result) => (isPeer(result) ? turned(result, isDirect) : result));
      if (results.some((result, i) => result !== known.results[i])) this.#replace(key, known, { ...known, results });
    }
  }
}

function isRefused(result: Result): result is RefusedPeer {
  return "reason" in result;
}

function isPeer(result: Result): result is Peer {
  return !isRefused(result);
}

function turned(peer: Peer, isDirect: DirectTest): Peer {
  const direct = isDirect(peer.underlay);
  return peer.direct === direct ? peer : { ...peer, direct };
}

/**
 * Who keeps a VTEP MAC that several claim: who was found to own it before, else who had it before this change, else the oldest
 * lease. So nobody can take the MAC of a node that is known here, however old his own lease is.
 */
function ownersOf(
  peers: readonly Peer[],
  leases: ReadonlyMap<string, Lease>,
  before: ReadonlyMap<string, string>,
  claims: ReadonlySet<Peer>,
): ReadonlyMap<string, Peer> {
  const age = ({ leaseKey }: Peer): bigint => leases.get(leaseKey)?.createRevision ?? 0n;
  const precedes = (a: Peer, b: Peer): boolean => {
    const owner = before.get(macKey(a));
    if ((a.leaseKey === owner) !== (b.leaseKey === owner)) return a.leaseKey === owner;
    if (claims.has(a) !== claims.has(b)) return claims.has(b);
    return age(a) === age(b) ? a.leaseKey < b.leaseKey : age(a) < age(b);
  };
  const owners = new Map<string, Peer>();
  for (const peer of peers) {
    const owner = owners.get(macKey(peer));
    if (owner === undefined || precedes(peer, owner)) owners.set(macKey(peer), peer);
  }
  return owners;
}

function settleMacs(
  peers: readonly Peer[],
  owners: ReadonlyMap<string, Peer>,
  refused: RefusedPeer[],
): readonly Peer[] {
  return peers.filter((peer) => {
    const owner = owners.get(macKey(peer));
    if (peer.vtepMac === null || owner === peer || owner === undefined) return true;
    const reason = `its VTEP MAC ${peer.vtepMac} is that of ${owner.leaseKey}; is the machine a copy of that one?`;
    refused.push({ key: peer.leaseKey, reason });
    return false;
  });
}

function macKey({ prefix, vtepMac }: Peer): string {
  return `${prefix.family} ${vtepMac ?? ""}`;
}

/** Tells whether two results share a VTEP MAC, without looking at all of them each time. */
class MacCounts {
  readonly #counts = new Map<string, number>();
  #shared = 0;

  get anyShared(): boolean {
    return this.#shared > 0;
  }

  add(results: readonly Result[]): void {
    for (const key of keysOf(results)) {
      const count = (this.#counts.get(key) ?? 0) + 1;
      this.#counts.set(key, count);
      if (count === 2) this.#shared++;
    }
  }

  remove(results: readonly Result[]): void {
    for (const key of keysOf(results)) {
      const count = (this.#counts.get(key) ?? 1) - 1;
      if (count === 0) this.#counts.delete(key);
      else this.#counts.set(key, count);
      if (count === 1) this.#shared--;
    }
  }
}

function keysOf(results: readonly Result[]): string[] {
  return results.flatMap((result) => ("reason" in result || result.vtepMac === null ? [] : [macKey(result)]));
}

/** A renewed lease is another record that says the same. */
function keepSame(now: Peer, known: readonly Result[]): Peer {
  for (const before of known) {
    if ("reason" in before || before.id !== now.id) continue;
    const same =
      prefixEquals(now.prefix, before.prefix) &&
      sameUnderlay(now.underlay, before.underlay) &&
      now.vtepMac === before.vtepMac;
    if (same) return before;
  }
  return now;
}
