// Encodes one table after another, writing the records only of peers that are not as before: a peer that changed is another object,
// and the others are at the same place. Owned by whoever feeds one data plane.
import { PEER_BYTES, peersOffset, putHeader, putPeer } from "./codec.js";
import type { NextHop, Peer, PeerTable } from "./peer-table.js";

export class TableEncoder {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #peers: readonly Peer[] = [];

  /** As encodePeerTable(), byte for byte. `turned`: the peers whose next hop is another than at the last call. */
  encode(table: PeerTable, nextHops: ReadonlyMap<number, NextHop>, turned: ReadonlySet<number>): Uint8Array {
    const { peers } = table;
    const start = peersOffset(table);
    const bytes = new Uint8Array(start + peers.length * PEER_BYTES);
    const view = new DataView(bytes.buffer);
    const moved = start !== this.#start;
    if (!moved) bytes.set(this.#bytes.subarray(start, bytes.length), start);
    putHeader(bytes, view, table);
    for (let i = 0, at = start; i < peers.length; i++, at += PEER_BYTES) {
      const peer = peers[i] as Peer;
      if (!moved && peer === this.#peers[i] && (turned.size === 0 || !turned.has(peer.id))) continue;
      bytes.fill(0, at, at + PEER_BYTES);
      putPeer(bytes, view, at, peer, nextHops.get(peer.id));
    }
    this.#peers = peers;
    this.#start = start;
    this.#bytes = bytes;
    return bytes;
  }
}
