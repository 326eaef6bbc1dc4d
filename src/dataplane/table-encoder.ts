// Encodes one table after another, copying the records of peers that are as before. A peer or next hop that changed is another
// object. Owned by whoever feeds one data plane.
import { PEER_BYTES, peersOffset, putHeader, putPeer } from "./codec.js";
import type { NextHop, Peer, PeerTable } from "./peer-table.js";

/** Where a peer's record is in the last image. Changed in place: there are thousands, and few move. */
interface Place {
  offset: number;
  nextHop: NextHop | undefined;
  image: number;
}

export class TableEncoder {
  #bytes: Uint8Array = new Uint8Array(0);
  readonly #places = new Map<Peer, Place>();
  #image = 0;

  /** As encodePeerTable(), byte for byte. */
  encode(table: PeerTable, nextHops: ReadonlyMap<number, NextHop>): Uint8Array {
    const start = peersOffset(table);
    const bytes = new Uint8Array(start + table.peers.length * PEER_BYTES);
    const view = new DataView(bytes.buffer);
    putHeader(bytes, view, table);
    this.#image++;
    const copy = new RunCopier(this.#bytes, bytes);
    let offset = start;
    for (const peer of table.peers) {
      const nextHop = nextHops.get(peer.id);
      const place = this.#places.get(peer);
      if (place === undefined) {
        putPeer(bytes, view, offset, peer, nextHop);
        this.#places.set(peer, { offset, nextHop, image: this.#image });
      } else {
        if (place.nextHop === nextHop) copy.add(place.offset, offset);
        else putPeer(bytes, view, offset, peer, nextHop);
        place.offset = offset;
        place.nextHop = nextHop;
        place.image = this.#image;
      }
      offset += PEER_BYTES;
    }
    copy.finish();
    if (this.#places.size > table.peers.length) {
      for (const [peer, { image }] of this.#places) if (image !== this.#image) this.#places.delete(peer);
    }
    this.#bytes = bytes;
    return bytes;
  }
}

/** Copies neighboring records in one go. */
class RunCopier {
  readonly #from: Uint8Array;
  readonly #to: Uint8Array;
  #source = 0;
  #target = 0;
  #length = 0;

  constructor(from: Uint8Array, to: Uint8Array) {
    this.#from = from;
    this.#to = to;
  }

  add(source: number, target: number): void {
    if (source !== this.#source + this.#length || target !== this.#target + this.#length) {
      this.finish();
      this.#source = source;
      this.#target = target;
    }
    this.#length += PEER_BYTES;
  }

  finish(): void {
    if (this.#length > 0) this.#to.set(this.#from.subarray(this.#source, this.#source + this.#length), this.#target);
    this.#length = 0;
  }
}
