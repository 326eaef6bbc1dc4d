// The difference between two encoded tables, so that a changed peer costs a message of its own size. Pure. Says nothing about what
// the bytes mean but that records are PEER_BYTES long and mostly stay where they are.
import { crc32 } from "node:zlib";
import { RipstopError } from "../lib/errors.js";
import { PEER_BYTES } from "./codec.js";

/** Compared in one go, before the records in it are. */
const BLOCK_BYTES = 64 * PEER_BYTES;

export interface TablePatch {
  /** Length of the new table. */
  readonly bytes: number;
  /** Of the new table: a patch on another table than it was made for is noticed. */
  readonly crc: number;
  /** What stays: from, to, length, from, to, length, ... */
  readonly copies: readonly number[];
  /** What is new. */
  readonly pieces: readonly TablePiece[];
}

export interface TablePiece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Null when sending the new table as a whole is hardly more. */
export function makePatch(before: Uint8Array, after: Uint8Array): TablePatch | null {
  const [old, now] = [bufferOf(before), bufferOf(after)];
  const copies: number[] = [];
  const pieces: TablePiece[] = [];
  let fresh = 0;
  for (let at = 0; at < now.length; ) {
    const end = firstOther(old, now, at);
    if (end > at) copies.push(at, at, end - at);
    at = end;
    while (at < now.length && !sameAt(old, now, at, PEER_BYTES)) at = Math.min(now.length, at + PEER_BYTES);
    if (at === end) continue;
    pieces.push({ at: end, bytes: now.subarray(end, at) });
    fresh += at - end;
  }
  return fresh > now.length / 4 ? null : { bytes: now.length, crc: crc32(now), copies, pieces };
}

/** Throws TABLE_UNKNOWN when the patch was made for another table, or does not hold together. */
export function applyPatch(before: Uint8Array, { bytes, crc, copies, pieces }: TablePatch): Uint8Array {
  const after = new Uint8Array(bytes);
  for (let i = 0; i + 2 < copies.length; i += 3) {
    const [from = 0, to = 0, length = 0] = copies.slice(i, i + 3);
    if (from + length > before.length || to + length > bytes) throw unknownTable();
    after.set(before.subarray(from, from + length), to);
  }
  for (const piece of pieces) {
    if (piece.at + piece.bytes.length > bytes) throw unknownTable();
    after.set(piece.bytes, piece.at);
  }
  if (crc32(after) !== crc) throw unknownTable();
  return after;
}

export function unknownTable(): RipstopError {
  return new RipstopError(
    "TABLE_UNKNOWN",
    "the change was made for another table than this data plane has; send it whole",
  );
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Where the first record begins that is not the same, from a record on. */
function firstOther(old: Buffer, now: Buffer, from: number): number {
  let at = from;
  for (const step of [BLOCK_BYTES, PEER_BYTES]) while (at < now.length && sameAt(old, now, at, step)) at += step;
  return Math.min(at, now.length);
}

function sameAt(old: Buffer, now: Buffer, at: number, bytes: number): boolean {
  const end = Math.min(now.length, at + bytes);
  return end <= old.length && old.compare(now, at, end, at, end) === 0;
}
