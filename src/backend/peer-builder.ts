// All leases -> all peers, again and again. Remembers what each lease gave: a lease object never changes, and a new record is a
// new object. So building costs a look at each lease and work for the changed ones only, and a peer that is as before is the
// same object, which is how everybody else sees what changed. Owned by one overlay.
import { prefixEquals } from "../addr/prefix.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { sameUnderlay } from "../host/text.js";
import { ClaimBook } from "../lease/claims.js";
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

/** Stands in the list where a peer was refused after all. */
const REFUSED = {} as Peer;

export class PeerBuilder {
  readonly #own: OwnIdentity;
  readonly #rules: PeerRules;
  readonly #claims = new ClaimBook();
  readonly #known = new Map<string, Known>();
  /** A peer keeps its number for as long as its lease lives. */
  readonly #ids = new Map<string, number>();
  #nextId = 1;

  constructor(own: OwnIdentity, rules: PeerRules) {
    this.#own = own;
    this.#rules = rules;
  }

  build(leases: ReadonlyMap<string, Lease>, isDirect: DirectTest): BuiltPeers {
    const { leases: standing, quarantined } = this.#claims.settle(leases);
    const refused: RefusedPeer[] = quarantined.filter(({ key }) => key !== this.#own.leaseKey);
    const peers: Peer[] = [];
    const macs = new Map<string, number>();
    for (const [key, lease] of standing) {
      const results = this.#resultsOf(key, lease);
      for (const [i, result] of results.entries()) {
        if ("reason" in result) {
          refused.push(result);
          continue;
        }
        const direct = isDirect(result.underlay);
        const peer = result.direct === direct ? result : { ...result, direct };
        results[i] = peer;
        const at = peers.push(peer) - 1;
        if (peer.vtepMac === null) continue;
        const mac = peer.prefix.family === 4 ? peer.vtepMac : `6 ${peer.vtepMac}`;
        const rival = macs.get(mac);
        macs.set(mac, rival === undefined ? at : settleMac(standing, peers, rival, at, refused));
      }
    }
    this.#forget(leases);
    return { peers: refused.length === 0 ? peers : peers.filter((peer) => peer !== REFUSED), refused };
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
    if (this.#known.size === 0) return;
    for (const key of this.#known.keys()) {
      if (leases.has(key)) continue;
      this.#known.delete(key);
      for (const i of this.#rules.networks.keys()) this.#ids.delete(`${i} ${key}`);
    }
  }
}

/** Of two peers with one VTEP MAC the younger lease is refused; returns where the other one is. */
function settleMac(
  leases: ReadonlyMap<string, Lease>,
  peers: Peer[],
  a: number,
  b: number,
  refused: RefusedPeer[],
): number {
  const age = (at: number): bigint => leases.get(peers[at]?.leaseKey ?? "")?.createRevision ?? 0n;
  const [older, younger] = age(a) <= age(b) ? [a, b] : [b, a];
  const owner = peers[older];
  const copy = peers[younger];
  if (owner === undefined || copy === undefined) return older;
  peers[younger] = REFUSED;
  const reason = `its VTEP MAC ${copy.vtepMac} is that of ${owner.leaseKey}; is the machine a copy of that one?`;
  refused.push({ key: copy.leaseKey, reason });
  return older;
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
