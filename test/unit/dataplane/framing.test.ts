// Messages against any cutting and any garbage.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { encodeMessage, LENGTH_BYTES, MESSAGE_MAX_BYTES, MessageReader } from "../../../src/dataplane/framing.js";
import { RipstopError } from "../../../src/lib/errors.js";

/** Cuts `bytes` at the given places, in any order and with repetitions. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((end, index) => bytes.subarray(edges[index], end));
}

test("messages survive any cutting of the stream", () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue(), { maxLength: 5 }),
      fc.array(fc.nat(5000), { maxLength: 20 }),
      (messages, places) => {
        const reader = new MessageReader();
        const stream = Buffer.concat(messages.map((message) => encodeMessage(message)));
        const received = cut(stream, places).flatMap((chunk) => [...reader.push(chunk)]);
        assert.equal(JSON.stringify(received), JSON.stringify(messages));
        assert.equal(reader.midMessage, false);
      },
    ),
  );
});

test("arbitrary bytes give messages or a Ripstop error, nothing else", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 16 }), (chunks) => {
      const reader = new MessageReader();
      try {
        for (const chunk of chunks) for (const _ of reader.push(Buffer.from(chunk)));
      } catch (error) {
        assert.ok(error instanceof RipstopError, String(error));
      }
    }),
  );
});

test("a length beyond the limit is refused before its bytes arrive", () => {
  const header = Buffer.alloc(LENGTH_BYTES);
  header.writeUInt32BE(MESSAGE_MAX_BYTES + 1);
  assert.throws(() => [...new MessageReader().push(header)], { code: "PROTOCOL_TOO_LARGE" });
  assert.throws(() => encodeMessage("x".repeat(MESSAGE_MAX_BYTES)), { code: "PROTOCOL_TOO_LARGE" });
});

test("a message is in the middle from its first byte to its last", () => {
  const frame = encodeMessage({ a: 1 });
  const reader = new MessageReader();
  for (const byte of frame.subarray(0, -1)) {
    assert.deepEqual([...reader.push(Buffer.from([byte]))], []);
    assert.equal(reader.midMessage, true);
  }
  assert.deepEqual([...reader.push(frame.subarray(-1))], [{ a: 1 }]);
  assert.equal(reader.midMessage, false);
});

test("bigints travel as decimal strings", () => {
  assert.deepEqual(
    [...new MessageReader().push(encodeMessage({ n: 2n ** 64n - 1n }))],
    [{ n: "18446744073709551615" }],
  );
});
