// A table and its patch give the next table, whatever the two are.
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyPatch, makePatch } from "../../../src/dataplane/table-patch.js";
import { SeededRandom } from "../../support/random.js";

const HEADER = 96;
const RECORD = 64;
const random = new SeededRandom(11);
const noise = (length: number) => Uint8Array.from({ length }, () => random.below(256));

function tableOf(records: readonly Uint8Array[], header = noise(HEADER)): Uint8Array {
  return Uint8Array.from([...header, ...records.flatMap((record) => [...record])]);
}

test("records that come, change, and go with the last one in their place are patched, and a small change is a small patch", () => {
  let records = Array.from({ length: 200 }, () => noise(RECORD));
  let before = tableOf(records);
  for (let step = 0; step < 300; step++) {
    const at = random.below(records.length);
    const change = random.below(3);
    // The last one fills the gap.
    if (change === 0) records = records.with(at, records.at(-1) ?? noise(RECORD)).slice(0, -1);
    else if (change === 1) records = [...records, noise(RECORD)];
    else records = records.with(at, noise(RECORD));
    const after = tableOf(records);
    const patch = makePatch(before, after);
    assert.ok(patch !== null, `step ${step}`);
    const fresh = patch.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    assert.ok(fresh <= HEADER + 3 * RECORD, `step ${step}: ${fresh} bytes for one change`);
    assert.deepEqual(applyPatch(before, patch), after, `step ${step}`);
    before = after;
  }
});

test("two tables that have little in common are sent whole", () => {
  const records = Array.from({ length: 20 }, () => noise(RECORD));
  assert.equal(makePatch(tableOf(records), tableOf(records.map(() => noise(RECORD)))), null);
  assert.equal(makePatch(new Uint8Array(0), tableOf(records)), null);
});

test("a patch on another table, or one that reaches beyond it, is refused", () => {
  const records = Array.from({ length: 20 }, () => noise(RECORD));
  const before = tableOf(records);
  const patch = makePatch(before, tableOf(records.with(3, noise(RECORD)), before.slice(0, HEADER)));
  assert.ok(patch !== null);
  assert.throws(() => applyPatch(tableOf(records.with(9, noise(RECORD))), patch), { code: "TABLE_UNKNOWN" });
  assert.throws(() => applyPatch(new Uint8Array(0), patch), { code: "TABLE_UNKNOWN" });
  assert.throws(() => applyPatch(before, { ...patch, copies: [0, patch.bytes, 8] }), { code: "TABLE_UNKNOWN" });
  assert.throws(() => applyPatch(before, { ...patch, pieces: [{ at: patch.bytes, bytes: noise(1) }] }), {
    code: "TABLE_UNKNOWN",
  });
});
