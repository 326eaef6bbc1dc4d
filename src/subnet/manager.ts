// The subnet manager: holds this node's lease for as long as it runs and shows the peers. Acquires, renews before expiry,
// writes the same subnet again when the record vanished, and follows the store. It never exits, never overwrites a record
// that it has not seen or that is another node's, and loses no peer because the store is away.
import { prefixesOverlap } from "../addr/prefix.js";
import { sameAttrs } from "../lease/differ.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { Backoff } from "../lib/backoff.js";
import { type Clock, systemClock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { Latest } from "../lib/latest.js";
import { SharedMap } from "../lib/shared-map.js";
import type { LeaseSnapshot, Store, Subnets } from "../store/store.js";
import type { SubnetRanges } from "./allocator.js";
import type { OverlayNetworks } from "./assigned-claim.js";
import type { LeaseStanding, SubnetEvent } from "./events.js";
import { type ClaimRequest, claimSubnet, isOwn, LEASE_TTL_SECONDS, type NodeIdentity, stands } from "./lease-claim.js";
import { type PeerSnapshot, PeerView, type PeerViewOptions } from "./peer-view.js";

export interface SubnetManagerOptions {
  readonly store: Store;
  readonly ranges: SubnetRanges;
  readonly networks?: OverlayNetworks;
  /** What subnet.env said before this start. */
  readonly previous: Subnets | null;
  /** The record that this very node wrote last: kept when the node's public IP is another now. */
  readonly former?: Pick<Lease, "key" | "attrs"> | null;
  /** How long before expiry the lease is renewed. */
  readonly renewMarginMs: number;
  readonly report?: (event: SubnetEvent) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly peerView?: PeerViewOptions;
}

const CONFLICT_BACKOFF = { initialMs: 20, maxMs: 1_000 };
const FAILURE_BACKOFF = { initialMs: 500, maxMs: 30_000 };
/** With no subnet free, the store is asked again at least this often. */
const EXHAUSTED_RETRY_MS = 5_000;
/** Two nodes with one public IP must not rewrite each other's record in a loop. */
const CONTEST_PAUSE_MS = 60_000;
/** Where the record is bound to our node, only this node's user or an earlier agent writes it. */
const ASSIGNED_PAUSE_MS = 5_000;

export class SubnetManager {
  readonly #options: SubnetManagerOptions;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #peers = new Latest<PeerSnapshot>();
  readonly #view: PeerView;
  #held: Lease | null = null;
  #wanted: LeaseAttrs | null = null;
  #identity: NodeIdentity | null = null;
  #standing: LeaseStanding = "acquiring";
  #renewAtMs = Number.POSITIVE_INFINITY;
  #contestedAtMs = Number.NEGATIVE_INFINITY;
  #seen: LeaseSnapshot | null = null;
  #storeFailed = false;
  #wake = new AbortController();

  constructor(options: SubnetManagerOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#view = new PeerView(options.peerView);
  }

  /** Our lease as we last wrote it; null before acquire(). */
  get own(): Lease | null {
    return this.#held;
  }

  get standing(): LeaseStanding {
    return this.#standing;
  }

  /** Resolves with our lease; waits as long as the store is away or no subnet is free. Rejects only when aborted. */
  async acquire(identity: NodeIdentity, attrsFor: ClaimRequest["attrsFor"], signal: AbortSignal): Promise<Lease> {
    const request: ClaimRequest = { ...this.#options, identity, attrsFor, random: this.#random };
    const conflicts = new Backoff({ ...CONFLICT_BACKOFF, random: this.#random });
    for (;;) {
      signal.throwIfAborted();
      const outcome = await this.#attempt(() => claimSubnet(request, signal), signal);
      if (outcome.kind === "acquired") {
        this.#identity = identity;
        this.#wanted = outcome.lease.attrs;
        this.#hold(outcome.lease);
        this.#report(outcome);
        return outcome.lease;
      }
      if (outcome.kind === "conflict") {
        await this.#clock.sleep(conflicts.nextMs(), signal);
        continue;
      }
      this.#report(outcome);
      await this.#untilStoreChanges(signal);
    }
  }

  /**
   * Goes on with what a local snapshot remembers, when the store cannot be reached at start. Nothing is written before the
   * store has shown its records: only it knows whether ours is a reservation.
   */
  adopt(lease: Lease, identity: NodeIdentity, peers: ReadonlyMap<string, Lease>): void {
    this.#identity = identity;
    this.#wanted = lease.attrs;
    this.#held = { ...lease, expiresAt: Number.POSITIVE_INFINITY };
    this.#standing = "held";
    this.#renewAtMs = this.#clock.nowMs();
    this.#peers.set(this.#view.remember(peers, lease.key));
  }

  /** Keeps the lease and follows the store; resolves when aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#keep(signal), this.#releaseHeldPeers(signal)]);
  }

  /** The peers at once and after every change, coalesced. Ends with the signal. */
  peers(signal: AbortSignal): AsyncIterable<PeerSnapshot> {
    return this.#peers.follow(signal);
  }

  /** Our public IP, MAC or backend data changed: the record is rewritten, the subnet stays. */
  announce(identity: NodeIdentity, attrs: LeaseAttrs): void {
    this.#identity = identity;
    this.#wanted = attrs;
    this.#wakeUp();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const snapshot of this.#store.watchLeases(signal)) {
      this.#seen = snapshot;
      this.#publish();
      this.#wakeUp();
    }
  }

  #publish(): void {
    if (this.#seen === null) return;
    const ownKey = this.#held?.key ?? null;
    const ownVanished = ownKey !== null && !this.#seen.leases.has(ownKey);
    this.#peers.set(this.#view.update(this.#seen, ownKey, ownVanished, this.#clock.nowMs()));
  }

  async #releaseHeldPeers(signal: AbortSignal): Promise<void> {
    for await (const { heldBack } of this.#peers.follow(signal)) {
      if (heldBack === 0) continue;
      const waitMs = this.#view.nextDeadlineMs() - this.#clock.nowMs();
      if (!Number.isFinite(waitMs)) continue;
      await this.#clock.sleep(waitMs, signal);
      if (!signal.aborted) this.#publish();
    }
  }

  /** Level-triggered: after each wake-up the one right thing is worked out from what is seen, held and wanted. */
  async #keep(signal: AbortSignal): Promise<void> {
    const conflicts = new Backoff({ ...CONFLICT_BACKOFF, random: this.#random });
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const again = await this.#attempt(() => this.#keepOnce(signal), signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
        return false;
      });
      if (again) {
        await this.#clock.sleep(conflicts.nextMs(), signal);
        continue;
      }
      conflicts.reset();
      // Before the first snapshot there is nothing to decide; its arrival wakes.
      const waitMs =
        this.#seen === null ? Number.POSITIVE_INFINITY : Math.max(0, this.#renewAtMs - this.#clock.nowMs());
      await this.#clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  /** True when there may be more to do at once. */
  async #keepOnce(signal: AbortSignal): Promise<boolean> {
    const held = this.#held;
    if (held === null || this.#wanted === null || this.#seen === null) return false;
    const record = this.#seen.leases.get(held.key);
    const unreadable = this.#seen.quarantined.some((entry) => entry.key === held.key);
    if (record === undefined && !unreadable) return await this.#restore(held, signal);
    if (record !== undefined && !this.#isOwn(record.attrs)) return this.#lose(held, record);
    if (record !== undefined && record.modRevision >= held.modRevision) this.#hear(held, record);
    if (this.#standing === "lost" && record !== undefined) this.#hold({ ...record, expiresAt: held.expiresAt });
    const changed = !sameAttrs(this.#held?.attrs ?? held.attrs, this.#wanted);
    const contestable = this.#clock.nowMs() - this.#contestedAtMs >= this.#pauseMs;
    const due = this.#renewAtMs <= this.#clock.nowMs();
    if (due || (changed && contestable)) return await this.#renew(signal);
    if (changed) this.#renewAtMs = Math.min(this.#renewAtMs, this.#contestedAtMs + this.#pauseMs);
    return false;
  }

  async #restore(held: Lease, signal: AbortSignal): Promise<boolean> {
    if (this.#standing === "held") this.#report({ kind: "revoked", lease: held });
    // Under another key than ours, which creating would not notice: a node may have taken one family's half of it.
    const others = [...(this.#seen?.leases.values() ?? [])].filter(({ attrs }) => !this.#isOwn(attrs));
    const rival = others.find((lease) => lease.key !== held.key && overlaps(lease, held));
    if (rival !== undefined) return this.#lose(held, rival);
    const ttl = held.expiresAt === null ? null : LEASE_TTL_SECONDS;
    const outcome = await this.#store.createLease(held, this.#wanted ?? held.attrs, ttl, signal);
    if (outcome.created) {
      if (!(await stands(this.#store, outcome.lease, signal))) return this.#lose(held, null);
      this.#note(outcome.lease);
      this.#hold(outcome.lease);
      this.#report({ kind: "restored", lease: outcome.lease });
      return false;
    }
    return this.#yieldTo(held, outcome.holder);
  }

  async #renew(signal: AbortSignal): Promise<boolean> {
    const held = this.#held;
    if (held === null || this.#wanted === null) return false;
    const ttl = held.expiresAt === null ? null : LEASE_TTL_SECONDS;
    const outcome = await this.#store.renewLease(held, this.#wanted, ttl, signal);
    if (outcome.created) {
      this.#hold(outcome.lease);
      this.#report({ kind: "renewed", lease: outcome.lease });
      return false;
    }
    if (outcome.holder === null) return await this.#restore(held, signal);
    return this.#yieldTo(held, outcome.holder);
  }

  /** A write was refused because of `holder`: take it as ours if it is, else stand back. */
  #yieldTo(held: Lease, holder: Lease | null): boolean {
    if (holder !== null) this.#note(holder);
    if (holder === null || !this.#isOwn(holder.attrs)) return this.#lose(held, holder);
    this.#hold(holder.expiresAt === Number.POSITIVE_INFINITY ? { ...holder, expiresAt: held.expiresAt } : holder);
    this.#renewAtMs = this.#clock.nowMs();
    return true;
  }

  #lose(held: Lease, holder: Lease | null): boolean {
    if (this.#standing !== "lost") this.#report({ kind: "lost", lease: held, holder });
    this.#standing = "lost";
    this.#renewAtMs = this.#clock.nowMs() + this.#pauseMs;
    return false;
  }

  /** Our record was written by somebody in our name: an earlier process of this node, or a node with the same address. */
  #hear(held: Lease, record: Lease): void {
    if (this.#wanted !== null && !sameAttrs(record.attrs, this.#wanted) && sameAttrs(held.attrs, this.#wanted)) {
      this.#contestedAtMs = this.#clock.nowMs();
      this.#report({ kind: "contested", lease: record });
    }
    this.#held = { ...record, expiresAt: record.expiresAt === null ? null : held.expiresAt };
  }

  #hold(lease: Lease): void {
    this.#held = lease;
    this.#standing = "held";
    const expiresAt = lease.expiresAt ?? Number.POSITIVE_INFINITY;
    this.#renewAtMs = expiresAt - this.#options.renewMarginMs;
    this.#publish();
  }

  get #pauseMs(): number {
    return this.#store.assignment === undefined ? CONTEST_PAUSE_MS : ASSIGNED_PAUSE_MS;
  }

  /** Of a record under our key. */
  #isOwn(attrs: LeaseAttrs): boolean {
    if (this.#store.assignment !== undefined) return true;
    if (this.#identity !== null && isOwn(attrs, this.#identity)) return true;
    return this.#held !== null && isOwn(attrs, this.#held.attrs);
  }

  /** The answer to a write is newer than the last snapshot. */
  #note(record: Lease): void {
    if (this.#seen === null) return;
    this.#seen = { ...this.#seen, leases: SharedMap.of(this.#seen.leases).with([[record.key, record]]) };
  }

  async #untilStoreChanges(signal: AbortSignal): Promise<void> {
    const round = new AbortController();
    const bound = AbortSignal.any([signal, round.signal]);
    const changed = (async () => {
      let snapshots = 0;
      for await (const _ of this.#store.watchLeases(bound)) if (++snapshots === 2) break;
    })();
    await Promise.race([changed, this.#clock.sleep(EXHAUSTED_RETRY_MS, bound)]);
    round.abort();
    await changed;
  }

  /** Repeats an action until the store answers; says once that it does not and once that it does again. */
  async #attempt<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const backoff = new Backoff({ ...FAILURE_BACKOFF, random: this.#random });
    for (;;) {
      try {
        const result = await action();
        if (this.#storeFailed) this.#report({ kind: "store-recovered" });
        this.#storeFailed = false;
        return result;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof RipstopError && error.code.startsWith("STORE_"))) throw error;
        if (!this.#storeFailed) this.#report({ kind: "store-failed", message: error.message });
        this.#storeFailed = true;
        await this.#clock.sleep(backoff.nextMs(), signal);
        signal.throwIfAborted();
      }
    }
  }

  #wakeUp(): void {
    this.#wake.abort();
  }

  #report(event: SubnetEvent): void {
    this.#options.report?.(event);
  }
}

function overlaps(a: Subnets, b: Subnets): boolean {
  const prefixes = ({ subnet, ipv6Subnet }: Subnets) => [subnet, ipv6Subnet].filter((prefix) => prefix !== null);
  return prefixes(a).some((one) => prefixes(b).some((other) => prefixesOverlap(one, other)));
}
