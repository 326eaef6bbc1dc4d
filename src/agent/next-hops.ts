// What is known of the peers' next hops on the underlay, and which ones to ask for again, when. The kernel tells when a neighbor
// changes; asking again now and then finds what it does not tell (a path MTU). Owned by a session; asks nobody itself.
import type { PeerHop } from "../backend/backend.js";
import { peerChanges } from "../dataplane/peer-changes.js";
import type { NextHop, Peer } from "../dataplane/peer-table.js";
import type { Mac } from "../addr/address.js";

/** A peer that is resolved is asked for again after this time for each peer there is, so that the asking costs the same. */
const REFRESH_PER_PEER_MS = 60;
const REFRESH_MIN_MS = 5_000;
/** One that does not answer is asked for less and less: the kernel says when its own traffic has resolved it. */
const RETRY_MIN_MS = 5_000;
const RETRY_MAX_MS = 600_000;
/** Those that are due one after another are asked for together. */
const GRAIN_MS = 1_000;

interface Entry {
  readonly peer: Peer;
  /** Null: no route, or not asked for yet. */
  hop: PeerHop | null;
  dueMs: number;
  failures: number;
  /** Something was heard since it was asked for, so that the answer may be older than the news. */
  doubted: boolean;
}

export class NextHopBook {
  readonly #random: () => number;
  readonly #hops = new Map<number, NextHop>();
  #turned = new Set<number>();
  /** What the kernel says while a question is under way: the answer may be older. */
  readonly #heard = new Map<string, Mac | null>();
  #asking = false;
  readonly #entries = new Map<number, Entry>();
  /** The MACs we go by, and how many peers are behind each. */
  readonly #neighbors = new Map<string, { mac: Mac | null; peers: number }>();
  /** Neighbors that nobody was behind any more at some time. */
  readonly #left = new Set<string>();
  #peers: readonly Peer[] = [];
  #nextDueMs = Number.POSITIVE_INFINITY;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** By peer id; a hop that did not change is the same object. */
  get hops(): ReadonlyMap<number, NextHop> {
    return this.#hops;
  }

  /** The peers whose hop is another than when this was asked the last time. */
  takeTurned(): ReadonlySet<number> {
    const turned = this.#turned;
    this.#turned = new Set();
    return turned;
  }

  get nextDueMs(): number {
    return this.#nextDueMs;
  }

  /** The neighbors that no peer is behind any more, since this was asked the last time. */
  takeLeft(): ReadonlySet<string> {
    const left = new Set([...this.#left].filter((neighbor) => !this.#neighbors.has(neighbor)));
    this.#left.clear();
    return left;
  }

  /** A peer is behind it. */
  needs(neighbor: string): boolean {
    return this.#neighbors.has(neighbor);
  }

  /** The peers there are now: new ones are due at once. True when one is, or when a neighbor was left. */
  follow(peers: readonly Peer[]): boolean {
    const { gone, come } = peerChanges(this.#peers, peers);
    this.#peers = peers;
    for (const { id } of gone) this.#forget(id);
    for (const peer of come) this.#entries.set(peer.id, { peer, hop: null, dueMs: 0, failures: 0, doubted: false });
    const stays = new Set(come.map(({ id }) => id));
    for (const { id } of gone) if (!stays.has(id) && this.#hops.delete(id)) this.#turned.add(id);
    if (come.length > 0) this.#nextDueMs = 0;
    return come.length > 0 || this.#left.size > 0;
  }

  /** To be asked for now; what is heard from here on makes their answers doubtful. */
  due(nowMs: number): readonly Peer[] {
    if (this.#nextDueMs > nowMs) return [];
    this.#heard.clear();
    const due: Peer[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.dueMs > nowMs) continue;
      entry.doubted = false;
      due.push(entry.peer);
    }
    this.#asking = due.length > 0;
    if (!this.#asking) this.#nextDueMs = this.#earliest();
    return due;
  }

  /** True when a hop is another than before. A peer of which something was heard in the meantime stays due. */
  learn(asked: readonly Peer[], found: ReadonlyMap<number, PeerHop>, nowMs: number): boolean {
    let changed = false;
    this.#asking = false;
    for (const peer of asked) {
      const entry = this.#entries.get(peer.id);
      if (entry?.peer !== peer) continue;
      this.#point(entry, found.get(peer.id) ?? null);
      const mac = entry.hop?.mac ?? null;
      entry.failures = mac === null ? entry.failures + 1 : 0;
      const doubted = entry.doubted || this.#contradicts(entry.hop);
      entry.dueMs = doubted ? 0 : Math.ceil((nowMs + this.#pauseMs(entry)) / GRAIN_MS) * GRAIN_MS;
      if (!this.#set(peer.id, mac, entry.hop?.pathMtu ?? 0)) continue;
      this.#turned.add(peer.id);
      changed = true;
    }
    this.#nextDueMs = this.#earliest();
    return changed;
  }

  /** What the kernel says of a neighbor; null: it does not answer. True when peers are due because of it. */
  neighbor(address: string, mac: Mac | null): boolean {
    if (this.#asking) this.#heard.set(address, mac);
    const believed = this.#neighbors.get(address);
    if (believed === undefined || believed.mac === mac) return false;
    return this.#expire((hop) => hop?.neighbor === address);
  }

  /** A link is another than before: one that goes down takes its IPv4 routes with it without a word. As neighbor(). */
  link(device: string): boolean {
    return this.#expire((hop) => hop?.device === device);
  }

  /** The ways are others: everything is due. As neighbor(). */
  expire(): boolean {
    return this.#expire(() => true);
  }

  #expire(concerned: (hop: PeerHop | null) => boolean): boolean {
    let any = false;
    for (const entry of this.#entries.values()) {
      if (!concerned(entry.hop)) continue;
      entry.dueMs = 0;
      entry.doubted = true;
      any = true;
    }
    if (any) this.#nextDueMs = 0;
    return any;
  }

  #contradicts(hop: PeerHop | null): boolean {
    return hop !== null && this.#heard.has(hop.neighbor) && this.#heard.get(hop.neighbor) !== hop.mac;
  }

  #forget(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#point(entry, null);
    this.#entries.delete(id);
  }

  #point(entry: Entry, hop: PeerHop | null): void {
    const left = entry.hop === null ? undefined : this.#neighbors.get(entry.hop.neighbor);
    if (left !== undefined && entry.hop !== null && --left.peers === 0) {
      this.#neighbors.delete(entry.hop.neighbor);
      this.#left.add(entry.hop.neighbor);
    }
    entry.hop = hop;
    if (hop === null) return;
    const neighbor = this.#neighbors.get(hop.neighbor);
    if (neighbor === undefined) this.#neighbors.set(hop.neighbor, { mac: hop.mac, peers: 1 });
    else {
      neighbor.mac = hop.mac;
      neighbor.peers++;
    }
  }

  #earliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#entries.values()) earliest = Math.min(earliest, dueMs);
    return earliest;
  }

  #set(id: number, mac: Mac | null, pathMtu: number): boolean {
    if (mac === null) return this.#hops.delete(id);
    const before = this.#hops.get(id);
    if (before?.mac === mac && before.pathMtu === pathMtu) return false;
    this.#hops.set(id, { mac, pathMtu });
    return true;
  }

  #pauseMs({ failures }: Entry): number {
    const pause =
      failures === 0
        ? Math.max(REFRESH_MIN_MS, this.#entries.size * REFRESH_PER_PEER_MS)
        : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 20));
    return pause * (0.75 + 0.5 * this.#random());
  }
}
