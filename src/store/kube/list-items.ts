// The items of a list as they come over the network, cut anywhere: each is handed over as a text of its own, so that a page of
// nodes is never in memory as a whole. Only objects under the top-level key "items" are items; the rest of the answer, a few
// hundred bytes, is given at the end. Whether the texts are JSON is the reader's question. Pure.

const REST_BYTES_MAX = 1 << 20;
const ITEM_BYTES_MAX = 8 << 20;
const [QUOTE, COMMA, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x22, 0x2c, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];
const SPACE = 0x20;
/** The brackets around an item: the answer's and the list's. */
const ITEM_DEPTH = 2;

export class ListItems {
  readonly #hear: (item: string) => void;
  readonly #rest = new Pieces(REST_BYTES_MAX, "the answer without its items");
  readonly #item = new Pieces(ITEM_BYTES_MAX, "an item");
  #depth = 0;
  #inText = false;
  #escaped = false;
  #inItems = false;

  constructor(hear: (item: string) => void) {
    this.#hear = hear;
  }

  /** Throws what `hear` throws, and an Error for what can be no list. */
  push(chunk: Uint8Array): void {
    // Where the bytes begin that no piece has yet; in the list, between items, there are none to keep.
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inText = false;
        continue;
      }
      if (this.#inItems && this.#depth === ITEM_DEPTH) {
        if (byte === OPEN) start = at;
        else if (byte === CLOSE_LIST) {
          this.#inItems = false;
          start = at;
        } else if (byte > SPACE && byte !== COMMA) throw new Error("its items are no objects");
      }
      if (byte === QUOTE) this.#inText = true;
      else if (byte === OPEN || byte === OPEN_LIST) {
        this.#depth++;
        if (byte === OPEN_LIST && this.#depth === ITEM_DEPTH) {
          this.#rest.add(chunk.subarray(start, at + 1));
          start = at + 1;
          this.#inItems = this.#rest.endsWithKey("items");
        }
      } else if (byte === CLOSE || byte === CLOSE_LIST) {
        this.#depth--;
        if (this.#inItems && this.#depth === ITEM_DEPTH) {
          this.#item.add(chunk.subarray(start, at + 1));
          start = at + 1;
          this.#hear(this.#item.take());
        }
      }
    }
    if (!this.#inItems) this.#rest.add(chunk.subarray(start));
    else if (this.#depth > ITEM_DEPTH) this.#item.add(chunk.subarray(start));
  }

  /** The answer with an empty list in place of the items. */
  rest(): string {
    return this.#rest.take();
  }
}

/** Bytes that came in pieces. */
class Pieces {
  readonly #max: number;
  readonly #what: string;
  #parts: Uint8Array[] = [];
  #size = 0;

  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  add(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > this.#max) throw new Error(`${this.#what} is longer than ${this.#max >> 20} MiB`);
    this.#parts.push(part);
  }

  /** Are the last bytes `"key": [`? */
  endsWithKey(key: string): boolean {
    const all = Buffer.concat(this.#parts);
    this.#parts = [all];
    return new RegExp(`(^|[^\\\\])"${key}"\\s*:\\s*\\[$`).test(all.subarray(-64).toString("latin1"));
  }

  take(): string {
    const [first, ...more] = this.#parts;
    this.#parts = [];
    this.#size = 0;
    if (first === undefined) return "";
    const all = more.length === 0 ? first : Buffer.concat([first, ...more]);
    return Buffer.from(all.buffer, all.byteOffset, all.length).toString("utf8");
  }
}
