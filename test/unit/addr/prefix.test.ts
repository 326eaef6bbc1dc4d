// Prefix text, containment and order, for both families with one body.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import type { Prefix } from "../../../src/addr/address.js";
import { ipv4 } from "../../../src/addr/ipv4.js";
import { ipv6 } from "../../../src/addr/ipv6.js";
import {
  addressAt,
  addressToBytes,
  comparePrefixes,
  formatAddress,
  formatPrefix,
  lastAddress,
  nextPrefix,
  parsePrefix,
  parsePrefix4,
  parsePrefix6,
  parsePrefixWithHost,
  prefix4,
  prefix6,
  prefixContains,
  prefixCovers,
  prefixEquals,
  prefixesOverlap,
  prefixSize,
} from "../../../src/addr/prefix.js";

const must = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== null, text);
  return parsed;
};

const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 }))
    .map(([a, l]) => prefix4(ipv4(a), l)),
  fc.tuple(fc.bigInt(0n, (1n << 128n) - 1n), fc.integer({ min: 0, max: 128 })).map(([a, l]) => prefix6(ipv6(a), l)),
);

test("clears host bits unless asked to keep them", () => {
  assert.equal(formatPrefix(must("10.1.2.3/16")), "10.1.0.0/16");
  assert.equal(formatPrefix(must("fd00:1:2:3::9/48")), "fd00:1:2::/48");
  const kept = parsePrefixWithHost("10.1.2.3/16");
  assert.ok(kept !== null);
  assert.equal(formatPrefix(kept), "10.1.2.3/16");
});

test("refuses malformed prefixes", () => {
  for (const text of [
    "",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.0/+8",
    "10.0.0.0/8 ",
    "/8",
    "::/129",
    "::/-1",
    "10.0.0.0/8/8",
  ]) {
    assert.equal(parsePrefix(text), null, JSON.stringify(text));
  }
  assert.equal(parsePrefix4("fd00::/64"), null);
  assert.equal(parsePrefix6("10.0.0.0/8"), null);
});

test("every prefix survives its text", () => {
  fc.assert(fc.property(anyPrefix, (prefix) => assert.ok(prefixEquals(must(formatPrefix(prefix)), prefix))));
});

test("covering agrees with the first and the last address", () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const byEnds =
        a.family === b.family &&
        a.length <= b.length &&
        prefixContains(a, b.address) &&
        prefixContains(a, lastAddress(b));
      assert.equal(prefixCovers(a, b), byEnds);
      assert.equal(prefixesOverlap(a, b), prefixesOverlap(b, a));
    }),
  );
  assert.ok(prefixesOverlap(must("10.0.0.0/8"), must("10.9.0.0/16")));
  assert.ok(!prefixesOverlap(must("10.1.0.0/16"), must("10.2.0.0/16")));
  assert.ok(!prefixesOverlap(must("0.0.0.0/0"), must("::/0")));
  assert.ok(prefixCovers(must("0.0.0.0/0"), must("255.255.255.255/32")));
});

test("the next prefix is adjacent, and null at the end of the space", () => {
  const next = nextPrefix(must("10.1.255.0/24"));
  assert.ok(next !== null);
  assert.equal(formatPrefix(next), "10.2.0.0/24");
  assert.equal(nextPrefix(must("255.255.255.0/24")), null);
  assert.equal(nextPrefix(must("ffff:ffff:ffff:ffff::/64")), null);
  assert.equal(nextPrefix(must("0.0.0.0/0")), null);
  fc.assert(
    fc.property(anyPrefix, (prefix) => {
      const after = nextPrefix(prefix);
      if (after === null) return;
      assert.equal(BigInt(after.address) - BigInt(lastAddress(prefix)), 1n);
      assert.ok(comparePrefixes(prefix, after) < 0);
    }),
  );
});

test("addresses are counted from the base", () => {
  assert.equal(
    formatAddress({ family: 4, address: addressAt(prefix4(ipv4(0x0a010200), 24), 1), length: 32 }),
    "10.1.2.1",
  );
  assert.equal(prefixSize(must("10.0.0.0/24")), 256n);
  assert.deepEqual([...addressToBytes(must("10.1.2.0/24"))], [10, 1, 2, 0]);
  assert.equal(addressToBytes(must("fd00::/64")).length, 16);
});
