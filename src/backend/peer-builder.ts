// All leases -> all peers, again and again. Remembers what each lease gave: a lease object never changes, and a new record is a
// new object. So building costs a look at each lease and work for the changed ones only, and a peer that is as before is the
// same object, which is how everybody else sees what changed. Owned by one overlay.
import { prefixEquals } from "../addr/prefix.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { sameUnderlay } from "../host/text.js";
import type { Lease } from "../lease/lease.js";
import type { RefusedPeer } from "./backend.js";
import { type OwnIdentity, type PeerRules, readPeers } from "./peers.js";

/** True when a plain route reaches the peer without a gateway. */
export type DirectTest = (underlay: UnderlayAddress) => boolean;

export interface BuiltPeers {
  readonly peers: readonly Peer[];
  readonly refused: readonly RefusedPeer[];
}

type Result = Peer | RefusedPeer;

interface Known {
  readonly lease: Lease;
  readonly results: Result[];
}

export class PeerBuilder {
  readonly #own: OwnIdentity;
  readonly #rules: PeerRules;
  readonly #known = new Map<string, Known>();
  readonly #macs = new MacCounts();
  /** A peer keeps its number for as long as its lease lives. */
  readonly #ids = new Map<string, number>();
  #nextId = 1;

  constructor(own: OwnIdentity, rules: PeerRules) {
    this.#own = own;
    this.#rules = rules;
  }

  /** Of leases that claim different addresses (lease/claims.ts). */
  build(leases: ReadonlyMap<string, Lease>, isDirect: DirectTest): BuiltPeers {
    const refused: RefusedPeer[] = [];
    const peers: Peer[] = [];
    for (const [key, lease] of leases) {
      const results = this.#resultsOf(key, lease);
      for (const [i, result] of results.entries()) {
        if ("reason" in result) {
          refused.push(result);
          continue;
        }
        const direct = isDirect(result.underlay);
        const peer = result.direct === direct ? result : { ...result, direct };
        results[i] = peer;
        peers.push(peer);
      }
    }
    this.#forget(leases);
    if (!this.#macs.anyShared) return { peers, refused };
    return { peers: settleMacs(peers, leases, refused), refused };
  }

  #resultsOf(key: string, lease: Lease): Result[] {
    const known = this.#known.get(key);
    if (known?.lease === lease) return known.results;
    const results: Result[] = [];
    for (const [i, outcome] of readPeers(lease, key, this.#own, this.#rules).entries()) {
      if (outcome === null) continue;
      if ("reason" in outcome) results.push({ key: lease.key, reason: outcome.reason });
      else results.push(keepSame({ id: this.#idOf(`${i} ${key}`), ...outcome }, known?.results ?? []));
    }
    this.#macs.remove(known?.results ?? []);
    this.#macs.add(results);
    this.#known.set(key, { lease, results });
    return results;
  }

  #idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#nextId++;
    this.#ids.set(name, id);
    return id;
  }

  /** Leases that are gone; one that comes back is a new peer. */
  #forget(leases: ReadonlyMap<string, Lease>): void {
    for (const [key, { results }] of this.#known) {
      if (leases.has(key)) continue;
      this.#macs.remove(results);
      this.#known.delete(key);
      for (const i of this.#rules.networks.keys()) this.#ids.delete(`${i} ${key}`);
    }
  }
}

/** Of peers with one VTEP MAC that of the oldest lease stays. */
function settleMacs(
  peers: readonly Peer[],
  leases: ReadonlyMap<string, Lease>,
  refused: RefusedPeer[],
): readonly Peer[] {
  const age = ({ leaseKey }: Peer): bigint => leases.get(leaseKey)?.createRevision ?? 0n;
  const owners = new Map<string, Peer>();
  for (const peer of peers) {
    const owner = owners.get(macKey(peer));
    if (owner === undefined || age(peer) < age(owner)) owners.set(macKey(peer), peer);
  }
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
