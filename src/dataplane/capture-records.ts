// Reads the records that a capture hands out (native/capture/session.h, host byte order of this little-endian machine). Pure.
import { RipstopError } from "../lib/errors.js";

/** Where a packet was seen; the numbers are capture::Point. */
export const CAPTURE_POINTS = { overlay: 1, underlay: 2, drop: 4 } as const;
export type CapturePoint = keyof typeof CAPTURE_POINTS;

export interface CapturedPacket {
  readonly point: CapturePoint;
  /** Into or out of the data plane. */
  readonly direction: "in" | "out";
  /** Why it was dropped, as a number of drop_reason.def; null elsewhere. */
  readonly reason: number | null;
  readonly worker: number;
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  /** Length of the frame, of which `frame` may hold less. */
  readonly originalBytes: number;
  /** More than 1: a super-packet, sent on as that many wire packets. */
  readonly segments: number;
  readonly frame: Uint8Array;
}

const RECORD_BYTES = 32;
const NO_REASON = 0xff;
const POINTS: ReadonlyMap<number, CapturePoint> = new Map(
  Object.entries(CAPTURE_POINTS).map(([name, bit]) => [bit, name as CapturePoint]),
);

export function* readRecords(bytes: Uint8Array): Generator<CapturedPacket> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const total = at + RECORD_BYTES <= bytes.length ? view.getUint32(at, true) : 0;
    const captured = total >= RECORD_BYTES ? view.getUint32(at + 4, true) : 0;
    const point = total >= RECORD_BYTES ? POINTS.get(view.getUint8(at + 12)) : undefined;
    if (point === undefined || at + total > bytes.length || captured > total - RECORD_BYTES) {
      throw new RipstopError(
        "CAPTURE_RECORD_BAD",
        `record at byte ${at} of a capture is not understood; use the ripstop program of the data plane's version`,
      );
    }
    const reason = view.getUint8(at + 14);
    yield {
      point,
      direction: view.getUint8(at + 13) === 0 ? "in" : "out",
      reason: reason === NO_REASON ? null : reason,
      worker: view.getUint8(at + 15),
      timeNs: view.getBigUint64(at + 16, true),
      originalBytes: view.getUint32(at + 8, true),
      segments: view.getUint16(at + 24, true),
      frame: bytes.subarray(at + RECORD_BYTES, at + RECORD_BYTES + captured),
    };
    at += total;
  }
}
