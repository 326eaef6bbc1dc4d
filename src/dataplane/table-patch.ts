// The difference between two encoded tables, so that a changed peer costs a message of its own size. Pure. Says nothing about what
// the bytes mean but that records are PEER_BYTES long and mostly stay where they are, or move together.
import { crc32 } from "node:zlib";
import { RipstopError } from "../lib/errors.js";
import { PEER_BYTES } from "./codec.js";

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
  const [old, now] = [Buffer.from(before.buffer, before.byteOffset, before.length), bufferOf(after)];
  const tail = commonTail(old, now);
  const middle = now.length - tail;
  const copies: number[] = [];
  const pieces: TablePiece[] = [];
  let fresh = 0;
  for (let at = 0; at < middle; ) {
    const same = sameAt(old, now, at, middle - at);
    let end = at;
    do end = Math.min(middle, end + PEER_BYTES);
    while (end < middle && sameAt(old, now, end, middle - end) === same);
    if (same) copies.push(at, at, end - at);
    else {
      pieces.push({ at, bytes: now.subarray(at, end) });
      fresh += end - at;
    }
    at = end;
  }
  if (tail > 0) copies.push(old.length - tail, middle, tail);
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

function sameAt(old: Buffer, now: Buffer, at: number, left: number): boolean {
  const end = at + Math.min(PEER_BYTES, left);
  return end <= old.length && old.compare(now, at, end, at, end) === 0;
}

/** How many bytes at the end are the same, in whole records: what follows a peer that came or went. */
function commonTail(old: Buffer, now: Buffer): number {
  if (old.length === now.length) return 0;
  let tail = 0;
  for (const most = Math.min(old.length, now.length); tail + PEER_BYTES <= most; tail += PEER_BYTES) {
    const [a, b] = [old.length - tail, now.length - tail];
    if (old.compare(now, b - PEER_BYTES, b, a - PEER_BYTES, a) !== 0) break;
  }
  return tail;
}
