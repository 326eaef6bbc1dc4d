// IPv4 text and bytes, against node:net as a second opinion.
import assert from "node:assert/strict";
import { isIPv4 } from "node:net";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { formatIpv4, ipv4, ipv4FromBytes, ipv4Mask, ipv4ToBytes, parseIpv4 } from "../../../src/addr/ipv4.js";

test("refuses everything Go's netip refuses", () => {
  for (const text of [
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "010.1.2.3",
    "1.2.3.04",
    "256.1.1.1",
    "1.2.3.-4",
    " 1.2.3.4",
    "1.2.3.4 ",
    "0x1.2.3.4",
    "1.2.3.4\n",
    "1..2.3",
    "１.2.3.4",
  ]) {
    assert.equal(parseIpv4(text), null, JSON.stringify(text));
  }
});

test("every address survives text and bytes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => {
      const address = ipv4(value);
      assert.ok(isIPv4(formatIpv4(address)));
      assert.equal(parseIpv4(formatIpv4(address)), address);
      assert.equal(ipv4FromBytes(ipv4ToBytes(address)), address);
    }),
  );
  assert.equal(formatIpv4(ipv4(0xc0000201)), "192.0.2.1");
  assert.deepEqual([...ipv4ToBytes(ipv4(0xc0000201))], [192, 0, 2, 1]);
});

test("never accepts text that node:net calls invalid", () => {
  const part = fc.oneof(
    fc.integer({ min: 0, max: 300 }).map(String),
    fc.constantFrom("00", "01", "", "a", "-1", "1e1"),
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 3, maxLength: 5 }), (parts) => {
      const text = parts.join(".");
      assert.equal(parseIpv4(text) !== null, isIPv4(text), text);
    }),
  );
});

test("masks have the given number of leading ones", () => {
  assert.equal(ipv4Mask(0), 0);
  assert.equal(ipv4Mask(1), 0x80000000);
  assert.equal(ipv4Mask(24), 0xffffff00);
  assert.equal(ipv4Mask(32), 0xffffffff);
});

test("a number that is no address is a bug and throws", () => {
  for (const value of [-1, 2 ** 32, 1.5, Number.NaN]) assert.throws(() => ipv4(value), RangeError);
});
