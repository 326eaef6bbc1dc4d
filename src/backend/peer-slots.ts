// A list of peers in which each keeps its place until another one that went leaves a gap: then the last one fills it. So two lists,
// one after another, differ in few places, which is what everybody behind looks at (dataplane/peer-changes.ts). Owned by a builder.
import type { Peer } from "../dataplane/peer-table.js";

export class PeerSlots {
  #peers: Peer[] = [];
  #shown = false;
  /** By id. */
  readonly #places = new Map<number, number>();

  /** Does not change any more: what comes later goes to another list. */
  list(): readonly Peer[] {
    this.#shown = true;
    return this.#peers;
  }

  put(peer: Peer): void {
    const at = this.#places.get(peer.id) ?? this.#peers.length;
    if (this.#peers[at] === peer) return;
    this.#own()[at] = peer;
    this.#places.set(peer.id, at);
  }

  remove(id: number): void {
    const at = this.#places.get(id);
    if (at === undefined) return;
    this.#places.delete(id);
    const last = this.#own().pop();
    if (last === undefined || last.id === id) return;
    this.#peers[at] = last;
    this.#places.set(last.id, at);
  }

  #own(): Peer[] {
    if (this.#shown) this.#peers = [...this.#peers];
    this.#shown = false;
    return this.#peers;
  }
}
