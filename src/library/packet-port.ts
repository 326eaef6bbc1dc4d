// A port in the program's hands: batches of packets, in place or copied. The arena and the descriptor table are handed out
// once; a batch then costs two calls into native code, no copy and no allocation. Pull, not push: nothing is read before it
// is asked for, so a slow program makes the far side drop, and that is counted. Thread: the one that opened it.
import { markAsUntransferable } from "node:worker_threads";
import { isNativeError, toRipstopError } from "../dataplane/errors.js";
import { RipstopError } from "../lib/errors.js";
import { addon } from "./addon.js";
import { PacketBatch } from "./packet-batch.js";
import {
  BATCH_MAX,
  DESCRIPTOR_WORDS,
  EPOCH,
  LENGTH,
  type NativePort,
  OFFSET,
  type PortInspection,
  ROOM,
} from "./port-binding.js";
import { namePort, type PortCounters } from "./port-counters.js";
import { checkMemoryPairOptions, checkPortOptions, type MemoryPairOptions, type PortOptions } from "./port-options.js";

/** Batches in a row before timers and I/O get their turn. */
const BATCHES_BEFORE_TURN = 16;

/** Who waits is in use, whatever else has been forgotten; who does not may be collected, although native code can wake it. */
const waiting = new Set<PacketPort>();

export interface PacketStreamOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
  /** Packets in a batch, 1 to 64. */
  readonly max?: number;
}

export class PacketPort implements AsyncIterable<PacketBatch>, Disposable {
  /** The frames of this port, once and for all. Empty after close(). */
  readonly arena: Uint8Array;
  /** Four words a packet: offset in the arena, length, room to the end of the frame, epoch. Write offset and length. */
  readonly descriptors: Uint32Array;
  readonly #native: NativePort;
  readonly #layout: readonly string[];
  readonly #values: BigUint64Array;
  readonly #batch: PacketBatch;
  #epoch = 0;
  /** The batch took all that was asked for: more may lie in the port already, of which its descriptor says nothing. */
  #more = false;
  #count = 0;
  #closed = false;
  #endless = true;
  #wake: (() => void) | null = null;

  private constructor(native: NativePort, layout: readonly string[]) {
    if (native.arena === null || native.descriptors === null) {
      native.close();
      throw new RipstopError(
        "PORT_NO_SHARED_MEMORY",
        "this JavaScript runtime does not allow native memory to be shared (Electron does not); run the program under Node",
        { op: "napi_create_external_arraybuffer" },
      );
    }
    // A transferred arena would live on in another thread after this port is gone.
    markAsUntransferable(native.arena);
    markAsUntransferable(native.descriptors);
    this.#native = native;
    this.#layout = layout;
    this.#values = new BigUint64Array(layout.length);
    this.arena = new Uint8Array(native.arena);
    this.descriptors = new Uint32Array(native.descriptors);
    this.#batch = new PacketBatch(this);
    this.#endless = native.inspect()?.kind !== "pcap";
  }

  /** Opens a device or a file. Throws PORT_OPTIONS_INVALID or what the kernel refused. */
  static open(options: PortOptions): PacketPort {
    const opened = addon().openPort(checkPortOptions(options));
    if (isNativeError(opened)) throw toRipstopError(opened);
    return PacketPort.adopt(opened);
  }

  /** Two ports joined back to back: what one sends the other receives. No privilege needed. */
  static pair(options: MemoryPairOptions = {}): [PacketPort, PacketPort] {
    const opened = addon().openMemoryPair(checkMemoryPairOptions(options));
    if (isNativeError(opened)) throw toRipstopError(opened);
    return [PacketPort.adopt(opened[0]), PacketPort.adopt(opened[1])];
  }

  /** Takes over a port that native code has opened. @internal */
  static adopt(native: NativePort): PacketPort {
    return new PacketPort(native, addon().portCounterLayout);
  }

  /** Packets in the current batch. */
  get count(): number {
    return this.#count;
  }

  /** The current batch's number; a descriptor of another one is refused and counted as `bad_descriptor`. */
  get epoch(): number {
    return this.#epoch;
  }

  get closed(): boolean {
    return this.#closed;
  }

  // In place. The hot loop: receive, look at arena and descriptors, send.

  /** Ends the batch before (what was not sent counts as released) and receives up to `max` packets; returns how many. */
  receive(max: number = BATCH_MAX): number {
    if (this.#closed) throw this.#gone("receive");
    const count = this.#native.receive(max);
    this.#count = count;
    this.#more = count > 0 && count === Math.min(max, BATCH_MAX);
    this.#epoch = count === 0 ? 0 : (this.descriptors[EPOCH] as number);
    return count;
  }

  /** Appends empty frames to the batch, each with its whole room as length; fewer than `wanted` when none is left. */
  allocate(wanted: number): number {
    if (this.#closed) throw this.#gone("allocate");
    const made = this.#native.allocate(wanted);
    this.#count += made;
    if (this.#count > 0) this.#epoch = this.descriptors[EPOCH] as number;
    return made;
  }

  /** Sends the batch through `to` and ends it: packets of length 0 are left out. Returns how many were accepted. */
  send(to: PacketPort = this): number {
    if (this.#closed || to.#closed) throw this.#gone("send");
    this.#count = 0;
    this.#epoch = 0;
    return to === this ? this.#native.send() : this.#native.send(to.#native);
  }

  /** Ends the batch without sending. */
  release(): void {
    this.#count = 0;
    this.#epoch = 0;
    this.#native.release();
  }

  /** Offset in the arena of packet `index` of the batch. */
  offset(index: number): number {
    return this.descriptors[index * DESCRIPTOR_WORDS + OFFSET] as number;
  }

  length(index: number): number {
    return this.descriptors[index * DESCRIPTOR_WORDS + LENGTH] as number;
  }

  /** Bytes from the packet's start to the end of its frame. */
  room(index: number): number {
    return this.descriptors[index * DESCRIPTOR_WORDS + ROOM] as number;
  }

  /** 0 leaves the packet out of send(). */
  setLength(index: number, length: number): void {
    this.descriptors[index * DESCRIPTOR_WORDS + LENGTH] = length;
  }

  /** Moves the packet's first byte: forward strips a header, back makes room for one (96 bytes at least on receive). */
  moveStart(index: number, by: number): void {
    const at = index * DESCRIPTOR_WORDS;
    this.descriptors[at + OFFSET] = (this.descriptors[at + OFFSET] as number) + by;
    this.descriptors[at + LENGTH] = (this.descriptors[at + LENGTH] as number) - by;
  }

  // Copied.

  /** Copies of up to `max` packets; the frames go back at once. */
  receiveCopies(max: number = BATCH_MAX): Uint8Array[] {
    const copies: Uint8Array[] = [];
    const count = this.receive(max);
    for (let i = 0; i < count; i++) copies.push(this.arena.slice(this.offset(i), this.offset(i) + this.length(i)));
    this.release();
    return copies;
  }

  /** Copies frames in and sends them; returns how many were accepted. One that fits no frame counts as too_big. */
  sendCopies(frames: Iterable<Uint8Array>): number {
    if (this.#count > 0) this.release();
    let accepted = 0;
    for (const frame of frames) {
      if (this.#count === BATCH_MAX) accepted += this.send();
      if (this.allocate(1) === 0) {
        if (this.#count > 0) accepted += this.send();
        if (this.allocate(1) === 0) continue;
      }
      const index = this.#count - 1;
      const fits = frame.length <= this.room(index);
      if (fits) this.arena.set(frame, this.offset(index));
      // A length beyond the frame is refused by send(), and counted.
      this.setLength(index, frame.length);
    }
    return this.#count > 0 ? accepted + this.send() : accepted;
  }

  // Waiting.

  /** Resolves when there may be something to receive; rejects with the signal's reason. Keeps the process alive meanwhile. */
  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) throw this.#gone("wait");
    if (this.#wake !== null) {
      throw new RipstopError("PORT_BUSY", "somebody already waits for this port; a port has one reader", {
        op: "wait",
      });
    }
    if (this.#more) {
      this.#more = false;
      await new Promise<void>((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        this.#wake = null;
        waiting.delete(this);
        this.#native.ref(false);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        end();
        reject(signal?.reason as Error);
      };
      this.#wake = () => {
        end();
        resolve();
      };
      waiting.add(this);
      const refused = this.#native.wait(wakerOf(new WeakRef(this)));
      if (refused !== null) {
        end();
        reject(toRipstopError(refused));
        return;
      }
      this.#native.ref(true);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /**
   * Batches as they come. The batch is the same object each time and ends when the loop goes on: what was not sent by then
   * counts as released. Ends with the signal, with close(), and at the end of a replayed file.
   */
  async *batches({ signal, max = BATCH_MAX }: PacketStreamOptions = {}): AsyncGenerator<PacketBatch, void, void> {
    let inARow = 0;
    while (!this.#closed && !(signal?.aborted ?? false)) {
      if (this.receive(max) > 0) {
        yield this.#batch.begin();
        if (++inARow % BATCHES_BEFORE_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
        continue;
      }
      if (!this.#endless) return;
      try {
        await this.wait(signal);
      } catch (error) {
        if (signal?.aborted ?? false) return;
        throw error;
      }
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<PacketBatch, void, void> {
    return this.batches();
  }

  /** Copies of packets as they come, one by one. */
  async *packets(options: PacketStreamOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    for await (const batch of this.batches(options)) {
      const copies = Array.from({ length: batch.count }, (_, index) => batch.at(index).copy());
      this.release();
      yield* copies;
    }
  }

  // State.

  counters(): PortCounters {
    this.#native.readCounters(this.#values);
    return namePort(this.#layout, this.#values);
  }

  /** Null once closed. */
  inspect(): PortInspection | null {
    return this.#native.inspect();
  }

  /** Idempotent. Views of the arena become empty; who waits goes on. Counters stay readable as they were last read. */
  close(): void {
    if (this.#closed) return;
    this.#native.release();
    this.#native.readCounters(this.#values);
    this.#closed = true;
    this.#count = 0;
    this.#epoch = 0;
    this.#wake?.();
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** There may be something to receive. @internal */
  wake(): void {
    this.#wake?.();
  }

  #gone(op: string): RipstopError {
    return new RipstopError("PORT_CLOSED", `${op} on a closed port; open a new one`, { op });
  }
}

/** Outside the class, so that it holds nothing but the weak reference. */
function wakerOf(port: WeakRef<PacketPort>): () => void {
  return () => port.deref()?.wake();
}
