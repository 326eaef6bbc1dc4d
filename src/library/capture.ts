// Looking at packets: what an overlay carries, and pcapng files for Wireshark and tcpdump. The worker copies what the filter
// lets through into a ring; this side empties it. Thread: the program's own.
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Writable } from "node:stream";
import { CAPTURE_POINTS, type CapturedPacket, type CapturePoint, readRecords } from "../dataplane/capture-records.js";
import { toRipstopError } from "../dataplane/errors.js";
import { compileCaptureFilter } from "../host/capture-filter.js";
import { RipstopError } from "../lib/errors.js";
import { pcapngPacket, pcapngPrologue, pcapngStatistics } from "../observe/pcapng.js";
import type { NativeNetwork } from "./fabric-binding.js";

const READ_BYTES = 512 * 1024;
/** Between two looks at a ring that was empty. */
const IDLE_MS = 10;
const SNAP_MAX = 262_144;

export interface CaptureOptions {
  /** Inside, outside, dropped. Inside and outside unless said otherwise. */
  readonly points?: readonly CapturePoint[];
  /** As tcpdump takes it, pcap-filter(7), and compiled by tcpdump, which must be installed; everything when absent. */
  readonly filter?: string;
  /** Keep at most this much of a frame. */
  readonly snapBytes?: number;
  readonly signal?: AbortSignal;
}

export interface CaptureStatistics {
  /** Packets that the filter let through, and those of them that nobody read in time. */
  readonly matched: number;
  readonly lost: number;
}

/** @internal */
export async function* readCapture(
  native: Pick<NativeNetwork, "captureStart" | "captureRead" | "captureStop">,
  { points = ["overlay", "underlay"], filter = "", snapBytes = SNAP_MAX, signal }: CaptureOptions,
  closed: () => boolean,
): AsyncGenerator<CapturedPacket, CaptureStatistics, void> {
  const program = await compileCaptureFilter(filter);
  const bits = points.reduce((all, point) => all | CAPTURE_POINTS[point], 0);
  const refused = native.captureStart({ points: bits, snapBytes, filter: program });
  if (refused !== null) throw toRipstopError(refused);
  const into = new Uint8Array(READ_BYTES);
  try {
    for (;;) {
      // The last look comes after the end, so that what was seen before it is not missed.
      const over = closed() || (signal?.aborted ?? false);
      const { bytes, matched, lost } = native.captureRead(into);
      for (const packet of readRecords(into.slice(0, bytes))) yield packet;
      if (bytes > 0) continue;
      if (over) return { matched, lost };
      await delay(IDLE_MS, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    }
  } finally {
    native.captureStop();
  }
}

export interface FrameNotes {
  /** Which of the file's interfaces; the first unless said otherwise. */
  readonly interface?: string;
  readonly direction?: "in" | "out";
  /** Nanoseconds since 1970; now unless said otherwise. */
  readonly timeNs?: bigint;
  /** Shown by Wireshark beside the packet. */
  readonly comment?: string;
  /** Of the frame before it was cut. */
  readonly originalBytes?: number;
}

/** A pcapng file in the making. */
export class Capture implements AsyncDisposable {
  readonly #to: Writable;
  readonly #interfaces: readonly string[];
  #written = 0;
  #failure: Error | null = null;

  private constructor(to: Writable, interfaces: readonly string[]) {
    this.#to = to;
    this.#interfaces = interfaces;
    to.on("error", (error) => (this.#failure ??= error));
    to.write(pcapngPrologue(interfaces, "ripstop"));
  }

  /** To a file (replacing what was there) or a stream. `interfaces` names what packets come from. */
  static to(target: string | Writable, interfaces: readonly string[] = ["overlay", "underlay", "drop"]): Capture {
    return new Capture(typeof target === "string" ? createWriteStream(target) : target, interfaces);
  }

  /** Packets written so far. */
  get written(): number {
    return this.#written;
  }

  /** A whole Ethernet frame. Resolves when the stream takes more: await it, and a slow disk slows the program, not its memory. */
  async write(frame: Uint8Array, notes: FrameNotes = {}): Promise<void> {
    const index = notes.interface === undefined ? 0 : this.#interfaces.indexOf(notes.interface);
    if (index < 0) {
      throw new RipstopError(
        "CAPTURE_INTERFACE_UNKNOWN",
        `this capture has no interface ${String(notes.interface)}; it was made for ${this.#interfaces.join(", ")}`,
      );
    }
    this.#throwFailure();
    const bytes = pcapngPacket({
      interface: index,
      timeNs: notes.timeNs ?? BigInt(Date.now()) * 1_000_000n,
      originalBytes: notes.originalBytes ?? frame.length,
      frame,
      direction: notes.direction ?? "in",
      comment: notes.comment ?? null,
    });
    this.#written++;
    if (!this.#to.write(bytes)) await once(this.#to, "drain");
  }

  /** What Overlay.capture() tells. */
  async writeCaptured(packet: CapturedPacket): Promise<void> {
    const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
    await this.write(packet.frame, {
      interface: packet.point,
      direction: packet.direction,
      timeNs: packet.timeNs + offset,
      originalBytes: packet.originalBytes,
    });
  }

  /** Rejects with what the stream failed at. Statistics, where known, close the file. */
  async close(statistics?: CaptureStatistics): Promise<void> {
    if (statistics !== undefined && this.#failure === null) {
      this.#to.write(pcapngStatistics(BigInt(Date.now()) * 1_000_000n, statistics.matched, statistics.lost));
    }
    if (!this.#to.destroyed && !this.#to.writableEnded) {
      this.#to.end();
      await once(this.#to, "close").catch(() => undefined);
    }
    this.#throwFailure();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #throwFailure(): void {
    if (this.#failure === null) return;
    throw new RipstopError(
      "CAPTURE_WRITE_FAILED",
      `the capture cannot be written: ${this.#failure.message}; check the path and the free space`,
      { op: "write", cause: this.#failure },
    );
  }
}
