// A batch as objects: comfortable, and safe, because every access asks whether the batch is still the current one. One
// small object a packet; the loop that must allocate nothing uses PacketPort's own methods instead.
import { RipstopError } from "../lib/errors.js";
import type { PacketPort } from "./packet-port.js";

export class PacketBatch implements Iterable<Packet> {
  readonly #port: PacketPort;
  readonly #packets: Packet[] = [];
  #epoch = 0;

  constructor(port: PacketPort) {
    this.#port = port;
  }

  /** Packets that were received into the batch, or allocated since. */
  get count(): number {
    return this.#epoch === this.#port.epoch ? this.#port.count : 0;
  }

  /** Packet `index` of the batch; throws PACKET_STALE when the batch has ended. */
  at(index: number): Packet {
    if (this.#epoch !== this.#port.epoch || index >= this.#port.count || index < 0) throw stale();
    const known = this.#packets[index];
    if (known !== undefined && known.epoch === this.#epoch) return known;
    const packet = new Packet(this.#port, index, this.#epoch);
    this.#packets[index] = packet;
    return packet;
  }

  *[Symbol.iterator](): IterableIterator<Packet> {
    for (let index = 0; index < this.count; index++) yield this.at(index);
  }

  /** As PacketPort.send(). */
  send(to?: PacketPort): number {
    return this.#epoch === this.#port.epoch ? this.#port.send(to) : 0;
  }

  /** @internal */
  begin(): this {
    this.#epoch = this.#port.epoch;
    return this;
  }
}

/** One packet of a batch, an Ethernet frame. Valid until its batch ends; then every method throws PACKET_STALE. */
export class Packet {
  readonly #port: PacketPort;
  readonly #index: number;
  /** @internal */
  readonly epoch: number;

  constructor(port: PacketPort, index: number, epoch: number) {
    this.#port = port;
    this.#index = index;
    this.epoch = epoch;
  }

  get length(): number {
    this.#check();
    return this.#port.length(this.#index);
  }

  /** The bytes, in place. The view itself is not checked again: use it before the batch ends, or take copy(). */
  view(): Uint8Array {
    this.#check();
    const from = this.#port.offset(this.#index);
    return this.#port.arena.subarray(from, from + this.#port.length(this.#index));
  }

  copy(): Uint8Array {
    this.#check();
    const from = this.#port.offset(this.#index);
    return this.#port.arena.slice(from, from + this.#port.length(this.#index));
  }

  readUint8(at: number): number {
    return this.#port.arena[this.#place(at, 1)] as number;
  }

  readUint16(at: number): number {
    const from = this.#place(at, 2);
    return ((this.#port.arena[from] as number) << 8) | (this.#port.arena[from + 1] as number);
  }

  readUint32(at: number): number {
    return this.readUint16(at) * 0x10000 + this.readUint16(at + 2);
  }

  writeUint8(at: number, value: number): void {
    this.#port.arena[this.#place(at, 1)] = value;
  }

  writeUint16(at: number, value: number): void {
    const from = this.#place(at, 2);
    this.#port.arena[from] = value >>> 8;
    this.#port.arena[from + 1] = value;
  }

  /** Replaces the whole packet; throws a RangeError when it does not fit the frame. */
  write(bytes: Uint8Array): void {
    this.#check();
    if (bytes.length > this.#port.room(this.#index)) {
      throw new RangeError(`${bytes.length} bytes do not fit the ${this.#port.room(this.#index)} of this frame`);
    }
    this.#port.arena.set(bytes, this.#port.offset(this.#index));
    this.#port.setLength(this.#index, bytes.length);
  }

  /** Leaves the packet out of send(); it counts as released. */
  drop(): void {
    this.#check();
    this.#port.setLength(this.#index, 0);
  }

  #place(at: number, bytes: number): number {
    this.#check();
    if (!(at >= 0 && at + bytes <= this.#port.length(this.#index))) {
      throw new RangeError(`bytes ${at} to ${at + bytes} lie outside a packet of ${this.#port.length(this.#index)}`);
    }
    return this.#port.offset(this.#index) + at;
  }

  #check(): void {
    if (this.epoch !== this.#port.epoch) throw stale();
  }
}

function stale(): RipstopError {
  return new RipstopError(
    "PACKET_STALE",
    "this packet's batch has ended and its frame is in other hands; use copy() for what must live longer",
    { op: "packet" },
  );
}
