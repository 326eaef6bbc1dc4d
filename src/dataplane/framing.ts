// Messages on the data-plane socket: 4 bytes length (big-endian, of what follows), then UTF-8 JSON. Used by server and
// client alike. Bounded: a peer that announces more than the limit is told so before a byte of it is kept.
import { RipstopError } from "../lib/errors.js";

export const LENGTH_BYTES = 4;
/** The largest table (16384 peers) is 1 MiB of records, 1.4 MiB as base64. */
export const MESSAGE_MAX_BYTES = 4 * 1024 * 1024;

/** Bigints become decimal strings; the schemas of protocol.ts say which strings are numbers. */
export function encodeMessage(message: unknown): Buffer {
  const json = JSON.stringify(message, (_key, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value,
  );
  const bytes = Buffer.byteLength(json);
  if (bytes > MESSAGE_MAX_BYTES) throw tooLarge(bytes);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + bytes);
  frame.writeUInt32BE(bytes, 0);
  frame.write(json, LENGTH_BYTES);
  return frame;
}

/** Cuts a byte stream into messages. After it has thrown, the stream is out of step: close the connection. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = LENGTH_BYTES;
  #inBody = false;

  /** True while a message has begun but not ended. */
  get midMessage(): boolean {
    return this.#inBody || this.#bytes > 0;
  }

  /** Complete messages in order, parsed. Throws PROTOCOL_TOO_LARGE or PROTOCOL_MALFORMED. */
  *push(chunk: Buffer): Generator<unknown> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= this.#wanted) {
      const piece = this.#take(this.#wanted);
      this.#inBody = !this.#inBody;
      if (this.#inBody) {
        this.#wanted = piece.readUInt32BE(0);
        if (this.#wanted > MESSAGE_MAX_BYTES) throw tooLarge(this.#wanted);
      } else {
        this.#wanted = LENGTH_BYTES;
        yield parse(piece);
      }
    }
  }

  #take(count: number): Buffer {
    // One concat per message, not per chunk: a message that arrives byte by byte costs its length, not its square.
    const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#bytes);
    const rest = all.subarray(count);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    return all.subarray(0, count);
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (cause) {
    throw new RipstopError(
      "PROTOCOL_MALFORMED",
      "a message on the data-plane socket is not JSON; is something else connected to it?",
      {
        cause,
      },
    );
  }
}

function tooLarge(bytes: number): RipstopError {
  return new RipstopError(
    "PROTOCOL_TOO_LARGE",
    `a message of ${bytes} bytes exceeds the data-plane socket's limit of ${MESSAGE_MAX_BYTES}`,
  );
}
