// Lists taken apart as they come: the same as JSON.parse makes of the whole, wherever the network cuts.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ListItems } from "../../../../src/store/kube/list-items.js";
import { propertyRuns } from "../../../support/property-runs.js";

interface Taken {
  readonly items: unknown[];
  readonly rest: unknown;
}

function take(text: string, cuts: readonly number[] = []): Taken {
  const items: unknown[] = [];
  const list = new ListItems((item) => items.push(JSON.parse(item)));
  const bytes = Buffer.from(text);
  let start = 0;
  for (const cut of [...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length]) {
    list.push(bytes.subarray(start, cut));
    start = cut;
  }
  return { items, rest: JSON.parse(list.rest()) };
}

describe("the items of a list", () => {
  it("are those that JSON.parse finds, wherever the bytes are cut", () => {
    const item = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue());
    const metadata = fc.dictionary(fc.constantFrom("items", '"items":[', "a\\", "continue"), fc.jsonValue());
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });
    fc.assert(
      fc.property(
        metadata,
        fc.array(item),
        metadata,
        fc.constantFrom(0, 2),
        cuts,
        (before, items, after, indent, at) => {
          const text = JSON.stringify({ before, items, after }, null, indent);
          const whole = JSON.parse(text) as { items: unknown[] };
          assert.deepEqual(take(text, at), { items: whole.items, rest: { ...whole, items: [] } });
        },
      ),
      propertyRuns(100),
    );
  });

  it("are none in a list without any, and in an answer that is no list", () => {
    assert.deepEqual(take('{"metadata":{},"items":null}'), { items: [], rest: { metadata: {}, items: null } });
    assert.deepEqual(take('{"other":[{"items":[{}]}]}'), { items: [], rest: { other: [{ items: [{}] }] } });
  });

  for (const [what, text] of [
    ["a text in the list", '{"items":["x"]}'],
    ["a list in the list", '{"items":[[{}]]}'],
    ["an answer that breaks off", '{"items":[{},{"a":'],
    ["an answer that breaks off between items", '{"items":[{},'],
  ] as const) {
    it(`are not taken from ${what}`, () => {
      assert.throws(() => take(text));
    });
  }

  it("may not be endless, nor may what is around them", () => {
    const pieces = 9 << 4;
    const piece = Buffer.alloc(1 << 16, "x");
    for (const [head, reason] of [
      ['{"items":[{"a":"', /an item is longer than 8 MiB/],
      ['{"a":"', /without its items is longer than 1 MiB/],
    ] as const) {
      const list = new ListItems(() => undefined);
      list.push(Buffer.from(head));
      assert.throws(() => {
        for (let i = 0; i < pieces; i++) list.push(piece);
      }, reason);
    }
  });
});
