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
import { MacClaims, macKey } from "./mac-claims.js";
import { PeerSlots } from "./peer-slots.js";
import { type OwnIdentity, type PeerRules, readPeers } from "./peers.js";

/** True when a plain route reaches the peer without a gateway. */
export type DirectTest = (underlay: UnderlayAddress) => boolean;

export interface BuiltPeers {
  readonly peers: readonly Peer[];
  readonly refused: readonly RefusedPeer[];
  readonly contested: readonly RefusedPeer[];
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
  readonly #macs: MacClaims;
  readonly #refused = new Map<string, readonly RefusedPeer[]>();
  #leases: ReadonlyMap<string, Lease> = new Map();
  #isDirect: DirectTest | null = null;
  #nextId = 1;

  constructor(own: OwnIdentity, rules: PeerRules) {
    this.#own = own;
    this.#rules = rules;
    this.#macs = new MacClaims(own.vtepMac);
  }

  /** Of leases that claim different addresses (lease/claims.ts). */
  build(leases: ReadonlyMap<string, Lease>, isDirect: DirectTest): BuiltPeers {
    if (isDirect !== this.#isDirect) this.#redirect(isDirect);
    const fresh = new Set<Peer>();
    for (const [key, , lease] of changesBetween(this.#leases, leases)) {
      const known = this.#known.get(key) ?? UNKNOWN;
      const read = lease === undefined ? UNKNOWN : this.#read(key, lease, known, isDirect);
      const before = new Set(known.results.filter(isPeer).map(macKey));
      for (const peer of read.results) if (isPeer(peer) && !before.has(macKey(peer))) fresh.add(peer);
      this.#replace(key, known, read);
      if (lease === undefined) this.#known.delete(key);
    }
    this.#leases = leases;
    this.#isDirect = isDirect;
    const refused = [...this.#refused.values()].flat();
    return { ...this.#macs.settle(this.#slots.list(), leases, fresh), refused };
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
    const peers = after.results.filter(isPeer);
    for (const peer of before.results.filter(isPeer)) this.#macs.remove(peer);
    for (const peer of peers) this.#macs.add(peer);
    this.#known.set(key, after);
    const refused = after.results.filter(isRefused);
    if (refused.length > 0) this.#refused.set(key, refused);
    else this.#refused.delete(key);
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
