// Encodes one table after another, copying the records of peers that are as before. A peer or next hop that changed is another
// object. Owned by whoever feeds one data plane.
import { PEER_BYTES, peersOffset, putHeader, putPeer } from "./codec.js";
import type { NextHop, Peer, PeerTable } from "./peer-table.js";

interface Record {
  readonly offset: number;
  readonly nextHop: NextHop | undefined;
}

export class TableEncoder {
  #bytes = new Uint8Array(0);
  #records: ReadonlyMap<Peer, Record> = new Map();

  /** As encodePeerTable(), byte for byte. */
  encode(table: PeerTable, nextHops: ReadonlyMap<number, NextHop>): Uint8Array {
    const start = peersOffset(table);
    const bytes = new Uint8Array(start + table.peers.length * PEER_BYTES);
    const view = new DataView(bytes.buffer);
    putHeader(bytes, view, table);
    const records = new Map<Peer, Record>();
    const copy = new RunCopier(this.#bytes, bytes);
    let offset = start;
    for (const peer of table.peers) {
      const nextHop = nextHops.get(peer.id);
      const known = this.#records.get(peer);
      if (known !== undefined && known.nextHop === nextHop) copy.add(known.offset, offset);
      else putPeer(bytes, view, offset, peer, nextHop);
      records.set(peer, known?.offset === offset && known.nextHop === nextHop ? known : { offset, nextHop });
      offset += PEER_BYTES;
    }
    copy.finish();
    this.#bytes = bytes;
    this.#records = records;
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
