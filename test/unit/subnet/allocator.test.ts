// The free list against a naive one, and the rules for what may be kept.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import type { Prefix, Prefix4 } from "../../../src/addr/address.js";
import { ipv4 } from "../../../src/addr/ipv4.js";
import {
  formatPrefix,
  nextPrefix,
  parsePrefix4,
  parsePrefix6,
  prefix4,
  prefixesOverlap,
} from "../../../src/addr/prefix.js";
import { subnetRange } from "../../../src/config/subnet-range.js";
import { firstFree, fitsRanges, isFree, pickSubnets } from "../../../src/subnet/allocator.js";

const v4 = (text: string): Prefix4 => {
  const prefix = parsePrefix4(text);
  assert.ok(prefix !== null);
  return prefix;
};
const RANGE = subnetRange(v4("10.1.0.0/16"), 24, null, null);

test("agrees with trying every subnet in order", () => {
  const taken = fc
    .tuple(fc.integer({ min: 0x0a000000, max: 0x0a02ffff }), fc.integer({ min: 14, max: 30 }))
    .map(([address, length]) => prefix4(ipv4(address), length));
  const length = fc.integer({ min: 18, max: 24 });
  fc.assert(
    fc.property(
      fc.array(taken, { maxLength: 30 }),
      length,
      fc.integer({ min: 1, max: 20 }),
      (prefixes, subnetLen, count) => {
        const range = subnetRange(v4("10.1.0.0/16"), subnetLen, null, null);
        const naive: Prefix4[] = [];
        for (
          let at: Prefix4 | null = range.min;
          at !== null && at.address <= range.max.address && naive.length < count;
          at = nextPrefix(at)
        ) {
          const candidate = at;
          if (!prefixes.some((other) => prefixesOverlap(candidate, other))) naive.push(candidate);
        }
        assert.deepEqual(firstFree(range, prefixes, count).map(formatPrefix), naive.map(formatPrefix));
      },
    ),
    { numRuns: 500 },
  );
});

test("picks among the first hundred free ones", () => {
  const last = pickSubnets({ range: RANGE, ipv6Range: null }, [], () => 0.9999);
  assert.ok(typeof last !== "string" && last.subnet !== null);
  assert.equal(formatPrefix(last.subnet), "10.1.100.0/24");
  const first = pickSubnets({ range: RANGE, ipv6Range: null }, [v4("10.1.1.0/24")], () => 0);
  assert.ok(typeof first !== "string" && first.subnet !== null);
  assert.equal(formatPrefix(first.subnet), "10.1.2.0/24");
});

test("says what is exhausted and what to widen", () => {
  assert.match(
    String(pickSubnets({ range: RANGE, ipv6Range: null }, [v4("10.0.0.0/8")], () => 0)),
    /out of subnets: everything from 10\.1\.1\.0\/24 to 10\.1\.255\.0\/24 is leased; widen SubnetMin/,
  );
});

test("an IPv6 range as large as it gets is walked in no time, over a large obstacle too", () => {
  const network = parsePrefix6("fd00::/16");
  const half = parsePrefix6("fd00::/17");
  assert.ok(network !== null && half !== null);
  const range = subnetRange(network, 64, null, null);
  const free = firstFree(range, [half], 3);
  assert.deepEqual(free.map(formatPrefix), ["fd00:8000::/64", "fd00:8000:0:1::/64", "fd00:8000:0:2::/64"]);
});

test("a subnet is kept only if it would be handed out today", () => {
  const ranges = { range: RANGE, ipv6Range: null };
  const fits = (text: string) => fitsRanges({ subnet: v4(text), ipv6Subnet: null }, ranges);
  assert.ok(fits("10.1.1.0/24") && fits("10.1.255.0/24"));
  assert.ok(!fits("10.1.0.0/24"), "below SubnetMin");
  assert.ok(!fits("10.1.2.0/25") && !fits("10.2.1.0/24"));
  assert.ok(!fitsRanges({ subnet: null, ipv6Subnet: null }, ranges), "a family is missing");
  const v6: Prefix | null = parsePrefix6("fd00::/64");
  assert.ok(v6 !== null && v6.family === 6);
  assert.ok(!fitsRanges({ subnet: v4("10.1.1.0/24"), ipv6Subnet: v6 }, ranges), "a family too many");
  assert.ok(!isFree({ subnet: v4("10.1.1.0/24"), ipv6Subnet: null }, [v4("10.1.1.128/25")]));
});
