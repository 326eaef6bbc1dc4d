// Which VTEP MACs are claimed by several peers: copied machines, or a node that lies in its own record. Who is right nobody can
// tell from what is written, so all of them stay peers. Inner addresses tell them apart in the data plane; in the kernel, which
// finds a remote address by MAC alone, all but one go by an alias: another MAC that means them on this host only, and that is
// put back before the packet leaves (vxlan/readdressing.ts). Who was known with the MAC before needs none. Owned by a builder.
import { randomInt } from "node:crypto";
import type { Mac } from "../addr/address.js";
import { shiftMac } from "../addr/mac.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { Lease } from "../lease/lease.js";
import type { RefusedPeer } from "./backend.js";

export interface SettledMacs {
  /** In their places. */
  readonly peers: readonly Peer[];
  /** Who goes by an alias, and why. */
  readonly contested: readonly RefusedPeer[];
}

interface Aliased {
  readonly of: Peer;
  readonly as: Peer & { readonly alias: Mac };
}

export class MacClaims {
  readonly #own: Mac | null;
  readonly #counts = new Map<string, number>();
  #shared = 0;
  /** Of MACs that several claim: whose it is. */
  #owners = new Map<string, string>();
  /** By peer id. */
  #aliased: ReadonlyMap<number, Aliased> = new Map();

  constructor(own: Mac | null) {
    this.#own = own;
  }

  add(peer: Peer): void {
    if (peer.vtepMac === null) return;
    const key = macKey(peer);
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    if (count === 2) this.#shared++;
  }

  remove(peer: Peer): void {
    if (peer.vtepMac === null) return;
    const key = macKey(peer);
    const count = (this.#counts.get(key) ?? 1) - 1;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
    if (count === 1) this.#shared--;
  }

  /** `fresh`: the peers that claim their MAC since the last change only. */
  settle(peers: readonly Peer[], leases: ReadonlyMap<string, Lease>, fresh: ReadonlySet<Peer>): SettledMacs {
    if (this.#shared === 0) {
      this.#owners.clear();
      this.#aliased = new Map();
      return { peers, contested: [] };
    }
    const owners = ownersOf(peers, leases, this.#owners, fresh);
    this.#owners = new Map([...owners].map(([mac, { leaseKey }]) => [mac, leaseKey]));
    const aliased = new Map<number, Aliased>();
    const taken = new Set<Mac>();
    const contested: RefusedPeer[] = [];
    const settled = peers.map((peer) => {
      const owner = owners.get(macKey(peer));
      if (peer.vtepMac === null || owner === undefined || owner === peer) return peer;
      const renamed = this.#aliasedOf(peer, peer.vtepMac, taken);
      aliased.set(peer.id, renamed);
      taken.add(renamed.as.alias);
      contested.push({ key: peer.leaseKey, reason: reasonOf(peer.vtepMac, owner) });
      return renamed.as;
    });
    this.#aliased = aliased;
    return { peers: settled, contested };
  }

  #aliasedOf(peer: Peer, mac: Mac, taken: ReadonlySet<Mac>): Aliased {
    const known = this.#aliased.get(peer.id);
    const keep = known?.of.vtepMac === mac && this.#isFree(known.as.alias, peer, taken) ? known.as.alias : null;
    if (keep !== null && known?.of === peer) return known;
    return { of: peer, as: { ...peer, alias: keep ?? this.#newAlias(peer, mac, taken) } };
  }

  /** By chance: a node that could foresee it could claim it as well. */
  #newAlias(peer: Peer, mac: Mac, taken: ReadonlySet<Mac>): Mac {
    for (;;) {
      const alias = shiftMac(mac, randomInt(1, 0xffff));
      if (this.#isFree(alias, peer, taken)) return alias;
    }
  }

  #isFree(alias: Mac, { prefix }: Peer, taken: ReadonlySet<Mac>): boolean {
    return alias !== this.#own && !this.#counts.has(macKey({ prefix, vtepMac: alias })) && !taken.has(alias);
  }
}

export function macKey({ prefix, vtepMac }: Pick<Peer, "prefix" | "vtepMac">): string {
  return `${prefix.family} ${vtepMac ?? ""}`;
}

/** Who was found to own it before, else who had it before this change, else the oldest lease. */
function ownersOf(
  peers: readonly Peer[],
  leases: ReadonlyMap<string, Lease>,
  before: ReadonlyMap<string, string>,
  fresh: ReadonlySet<Peer>,
): ReadonlyMap<string, Peer> {
  const age = ({ leaseKey }: Peer): bigint => leases.get(leaseKey)?.createRevision ?? 0n;
  const precedes = (a: Peer, b: Peer): boolean => {
    const owner = before.get(macKey(a));
    if ((a.leaseKey === owner) !== (b.leaseKey === owner)) return a.leaseKey === owner;
    if (fresh.has(a) !== fresh.has(b)) return fresh.has(b);
    return age(a) === age(b) ? a.leaseKey < b.leaseKey : age(a) < age(b);
  };
  const owners = new Map<string, Peer>();
  for (const peer of peers) {
    const owner = owners.get(macKey(peer));
    if (owner === undefined || precedes(peer, owner)) owners.set(macKey(peer), peer);
  }
  return owners;
}

function reasonOf(mac: Mac, { leaseKey }: Peer): string {
  return `it claims the VTEP MAC ${mac}, as ${leaseKey} does; is one machine a copy of the other? Give one of them another: write it into flannel.*.mac in its --state-dir and restart its agent`;
}
