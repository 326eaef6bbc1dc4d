// The peers this node works with, made from the store's snapshots: without our own lease, rival claims settled, and with a
// brake. When many peers vanish at once the store is more likely broken than the cluster, so they are kept for a while;
// live nodes write their leases again in that time. Owned by the subnet manager; time is an argument.
import { ClaimBook, settleClaims } from "../lease/claims.js";
import type { Lease } from "../lease/lease.js";
import { changesBetween, SharedMap } from "../lib/shared-map.js";
import type { LeaseSnapshot } from "../store/store.js";

export interface PeerSnapshot {
  readonly peers: ReadonlyMap<string, Lease>;
  /** Records that were left out, each with its reason. */
  readonly quarantined: LeaseSnapshot["quarantined"];
  /** Peers that the store no longer shows and that are kept for now. */
  readonly heldBack: number;
}

export interface PeerViewOptions {
  /** Vanishings within this time are counted together. */
  readonly stormWindowMs: number;
  /** More than this share of the peers, and more than two, is a storm. */
  readonly stormShare: number;
  /** How long peers are kept in a storm. */
  readonly holdMs: number;
}

export const PEER_VIEW_DEFAULTS: PeerViewOptions = { stormWindowMs: 10_000, stormShare: 0.1, holdMs: 60_000 };
const STORM_PEERS_MIN = 2;
/** Above every real revision: whoever holds a record wins against one that is only remembered. */
const REMEMBERED = 1n << 200n;

export class PeerView {
  readonly #options: PeerViewOptions;
  readonly #claims = new ClaimBook();
  /** What the store shows, our own included. */
  #standing = SharedMap.of<Lease>();
  #peers = SharedMap.of<Lease>();
  readonly #heldUntil = new Map<string, number>();
  #vanishings: { readonly at: number; readonly count: number }[] = [];

  constructor(options: PeerViewOptions = PEER_VIEW_DEFAULTS) {
    this.#options = options;
  }

  /** Starts from what is remembered, before the store has shown anything. */
  remember(leases: ReadonlyMap<string, Lease>, ownKey: string): PeerSnapshot {
    this.#peers = SharedMap.of(leases).with([[ownKey, undefined]]);
    return { peers: this.#peers, quarantined: [], heldBack: 0 };
  }

  /** `ownVanished`: our own record is gone from this snapshot too, so it says little about the others. */
  update(snapshot: LeaseSnapshot, ownKey: string | null, ownVanished: boolean, nowMs: number): PeerSnapshot {
    const settled = this.#claims.settle(snapshot.leases);
    this.#standing = this.#standing.become(settled.leases);
    const others = ownKey === null ? this.#standing : this.#standing.with([[ownKey, undefined]]);
    const unreadable = new Set(snapshot.quarantined.map((entry) => entry.key));
    const missing = changesBetween(this.#peers, others).flatMap(([key, before, after]) =>
      before === undefined || after !== undefined || key === ownKey ? [] : [before],
    );
    const unclaimed = this.#unclaimed(settled.leases, missing);
    const kept = this.#hold(unclaimed, unreadable, ownVanished, nowMs);
    const keptKeys = new Set(kept.map((peer) => peer.key));
    for (const key of this.#heldUntil.keys()) if (!keptKeys.has(key)) this.#heldUntil.delete(key);
    this.#peers = others.with(kept.map((peer) => [peer.key, peer]));
    return {
      peers: this.#peers,
      quarantined: [...snapshot.quarantined, ...settled.quarantined],
      heldBack: kept.length,
    };
  }

  /** When a peer that is held back has to go; Infinity when none is. */
  nextDeadlineMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#heldUntil.values());
  }

  /** Missing peers whose addresses nobody else holds now. */
  #unclaimed(standing: ReadonlyMap<string, Lease>, missing: readonly Lease[]): Lease[] {
    if (missing.length === 0) return [];
    const remembered = missing.map((peer, index) => ({ ...peer, createRevision: REMEMBERED + BigInt(index) }));
    const { disjoint } = this.#claims;
    const free = disjoint ? remembered.filter((peer) => !this.#claims.isClaimed(peer)) : remembered;
    const holders = disjoint ? [] : standing;
    const together = settleClaims(new Map([...holders, ...free.map((peer) => [peer.key, peer] as const)]));
    return missing.filter((peer) => !standing.has(peer.key) && together.leases.has(peer.key));
  }

  #hold(missing: readonly Lease[], unreadable: ReadonlySet<string>, ownVanished: boolean, nowMs: number): Lease[] {
    const vanished = missing.filter((peer) => !unreadable.has(peer.key) && !this.#heldUntil.has(peer.key));
    this.#vanishings = this.#vanishings.filter((entry) => nowMs - entry.at < this.#options.stormWindowMs);
    if (vanished.length > 0) this.#vanishings.push({ at: nowMs, count: vanished.length });
    const recent = this.#vanishings.reduce((sum, entry) => sum + entry.count, 0);
    const storm = ownVanished || recent > Math.max(STORM_PEERS_MIN, this.#peers.size * this.#options.stormShare);
    if (storm) for (const peer of vanished) this.#heldUntil.set(peer.key, nowMs + this.#options.holdMs);
    // A record that cannot be read still belongs to its peer: what it said last goes on, without a deadline.
    for (const key of unreadable) this.#heldUntil.delete(key);
    return missing.filter((peer) => unreadable.has(peer.key) || (this.#heldUntil.get(peer.key) ?? nowMs) > nowMs);
  }
}
