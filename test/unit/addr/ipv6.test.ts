// IPv6 text (RFC 4291 in, RFC 5952 out) and bytes, against node:net as a second opinion.
import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { formatIpv6, ipv6, ipv6FromBytes, ipv6Mask, ipv6ToBytes, parseIpv6 } from "../../../src/addr/ipv6.js";

test("prints the RFC 5952 form", () => {
  const rows: [string, string][] = [
    ["::", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["fd00:12:13::", "fd00:12:13::"],
    ["1:0:0:2:0:0:3:4", "1::2:0:0:3:4"],
    ["::ffff:10.1.2.3", "::ffff:10.1.2.3"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ];
  for (const [input, output] of rows) {
    const parsed = parseIpv6(input);
    assert.ok(parsed !== null, input);
    assert.equal(formatIpv6(parsed), output);
  }
});

test("refuses malformed text and zones", () => {
  for (const text of [
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "fe80::1%eth0",
    "1.2.3.4",
    "::1.2.3",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "1:2:3:4:5:6:7:8::",
    "::1 ",
    ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:",
  ]) {
    assert.equal(parseIpv6(text), null, JSON.stringify(text));
  }
});

test("every address survives text and bytes", () => {
  const group = fc.oneof(fc.constant(0n), fc.bigInt(0n, 0xffffn));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const address = ipv6(groups.reduce((value, next) => (value << 16n) | next, 0n));
      const text = formatIpv6(address);
      assert.ok(isIPv6(text), text);
      assert.equal(parseIpv6(text), address);
      assert.equal(ipv6FromBytes(ipv6ToBytes(address)), address);
      // WHATWG URLs compress as RFC 5952 does, but print an IPv4-mapped address in hex.
      if (!text.includes(".")) assert.equal(`[${text}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test("agrees with node:net on what is an address", () => {
  const word = fc.constantFrom("0", "1", "ffff", "abcd", "", "12345", "g", "1.2.3.4", "1.2.3");
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 10 }), (words) => {
      const text = words.join(":");
      assert.equal(parseIpv6(text) !== null, isIPv6(text), text);
    }),
    { numRuns: 2000 },
  );
});

test("masks have the given number of leading ones", () => {
  assert.equal(ipv6Mask(0), 0n);
  assert.equal(ipv6Mask(64), 0xffffffffffffffffn << 64n);
  assert.equal(ipv6Mask(128), (1n << 128n) - 1n);
});
