// Spoils messages of the data-plane socket: their JSON (values, keys, nesting), their frames (length, bytes, order) and the
// pieces in which they arrive. Everything follows from the random numbers given.
import type { SeededRandom } from "./random.js";

const LENGTH_BYTES = 4;
const EDGES: readonly unknown[] = [
  ...[null, true, 0, -0, -1, 1, 0.5, 255, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 63), 1e308, [], {}],
  ...["", "0", "-1", "18446744073709551616", "__proto__", "a".repeat(501), "\u0000", "\ud800", "Zg==", "Z", "%%%"],
];
const KEYS = ["__proto__", "constructor", "toString", "method", "id", "v", "options", "table", "result", "error"];

export class MessageMutator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** A stream of frames from these messages, most of them spoilt somewhere. */
  stream(messages: readonly string[]): Buffer {
    const random = this.#random;
    const frames = messages.map((text) => {
      const spoilt = random.below(3) > 0 ? this.#json(text) : text;
      const frame = encode(spoilt);
      return random.below(4) === 0 ? this.#bytes(frame) : frame;
    });
    if (random.below(8) === 0) frames.splice(random.below(frames.length + 1), 0, frames[random.below(frames.length)]!);
    const all = Buffer.concat(frames);
    return random.below(8) === 0 ? all.subarray(0, random.below(all.length + 1)) : all;
  }

  /** As a socket may deliver them. */
  pieces(bytes: Buffer): readonly Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = this.#random.below(4) === 0 ? 1 + this.#random.below(5) : 1 + this.#random.below(bytes.length);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    return pieces;
  }

  #json(text: string): string {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return text;
    }
    for (let count = 1 + this.#random.below(3); count > 0; count--) value = this.#change(value, 0);
    const spoilt = JSON.stringify(value) ?? "null";
    // JSON.stringify never writes a key twice, or __proto__ of an object literal; a stranger may.
    return this.#random.below(10) === 0 ? spoilt.replace("{", `{"${this.#random.pick(KEYS)}":${text},`) : spoilt;
  }

  #change(value: unknown, depth: number): unknown {
    const random = this.#random;
    const inside = typeof value === "object" && value !== null && Object.keys(value).length > 0;
    if (!inside || random.below(4) === 0) return this.#other(value, depth);
    const copy = (Array.isArray(value) ? value.slice() : { ...value }) as Record<string, unknown>;
    const key = random.pick(Object.keys(copy));
    if (random.below(6) === 0) Reflect.deleteProperty(copy, key);
    // Defined, not assigned: "__proto__" shall be a key like others.
    else if (!Array.isArray(copy) && random.below(8) === 0)
      Object.defineProperty(copy, random.pick(KEYS), {
        value: copy[key],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else copy[key] = this.#change(copy[key], depth + 1);
    return copy;
  }

  #other(value: unknown, depth: number): unknown {
    const random = this.#random;
    if (typeof value === "number" && random.below(2) === 0) return value + random.pick([-1, 1, 0.5, 2 ** 32]);
    if (typeof value === "string" && random.below(2) === 0) return this.#text(value);
    if (depth > 0 && random.below(6) === 0) return Array.from({ length: random.below(40) }, () => value);
    // Deep, but no deeper than JSON.parse bears.
    if (random.below(30) === 0) return JSON.parse("[".repeat(900) + "]".repeat(900)) as unknown;
    return random.pick(EDGES);
  }

  #text(text: string): string {
    const random = this.#random;
    const at = random.below(text.length + 1);
    const middle = random.pick(["", String.fromCharCode(random.below(256)), text, "=", "/", " "]);
    return text.slice(0, at) + middle + text.slice(at + random.below(3));
  }

  #bytes(frame: Buffer): Buffer {
    const random = this.#random;
    const copy = Buffer.from(frame);
    if (random.below(3) === 0) {
      const lengths = [
        0,
        1,
        copy.length,
        copy.length - LENGTH_BYTES + 1,
        4 * 1024 * 1024,
        4 * 1024 * 1024 + 1,
        0xffff_ffff,
      ];
      copy.writeUInt32BE(random.pick(lengths) >>> 0, 0);
      return copy;
    }
    for (let count = 1 + random.below(4); count > 0; count--) copy[random.below(copy.length)] = random.below(256);
    return copy;
  }
}

export function encode(text: string): Buffer {
  const body = Buffer.from(text);
  const frame = Buffer.alloc(LENGTH_BYTES + body.length);
  frame.writeUInt32BE(body.length, 0);
  body.copy(frame, LENGTH_BYTES);
  return frame;
}
