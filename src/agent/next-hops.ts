// Next hops on the underlay for ports that build their own Ethernet header. Asks the kernel for each peer's, in the
// background, and asks again as time goes by; a peer whose next hop is not known is sent to through the kernel meanwhile.
import type { NextHop, Peer, PeerTable } from "../dataplane/peer-table.js";
import type { Host } from "../host/host.js";
import type { Clock } from "../lib/clock.js";
import { Latest } from "../lib/latest.js";

/** How often everything is asked again: what the kernel has learnt elsewhere changes without a word to us. */
const REFRESH_MS = 5_000;
const CONCURRENCY = 16;

export class NextHops {
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #changed = new Latest<number>();
  #peers: readonly Peer[] = [];
  #hops: ReadonlyMap<number, NextHop> = new Map();
  #wake = new AbortController();
  #changes = 0;

  constructor(host: Host, clock: Clock) {
    this.#host = host;
    this.#clock = clock;
  }

  /** By peer id. */
  get current(): ReadonlyMap<number, NextHop> {
    return this.#hops;
  }

  follow(table: PeerTable): void {
    if (this.#peers === table.peers) return;
    this.#peers = table.peers;
    this.#wake.abort();
  }

  /** Yields after `current` has changed; resolves while it is read. */
  async *changes(signal: AbortSignal): AsyncGenerator<void, void, void> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    const refreshing = this.#refresh(both);
    try {
      for await (const _ of this.#changed.follow(both)) yield;
    } finally {
      stop.abort();
      await refreshing;
    }
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const found = await this.#resolveAll(this.#peers);
      if (!sameHops(found, this.#hops)) {
        this.#hops = found;
        this.#changed.set(++this.#changes);
      }
      await this.#clock.sleep(REFRESH_MS, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  async #resolveAll(peers: readonly Peer[]): Promise<ReadonlyMap<number, NextHop>> {
    const found = new Map<number, NextHop>();
    const waiting = peers.filter(({ direct }) => !direct)[Symbol.iterator]();
    const worker = async () => {
      for (const { id, underlay } of waiting) {
        const hop = await this.#host.resolveNextHop(underlay).catch(() => null);
        if (hop?.mac) found.set(id, { mac: hop.mac, pathMtu: hop.mtu });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    return found;
  }
}

function sameHops(a: ReadonlyMap<number, NextHop>, b: ReadonlyMap<number, NextHop>): boolean {
  if (a.size !== b.size) return false;
  for (const [id, { mac, pathMtu }] of a) {
    const other = b.get(id);
    if (other?.mac !== mac || other.pathMtu !== pathMtu) return false;
  }
  return true;
}
