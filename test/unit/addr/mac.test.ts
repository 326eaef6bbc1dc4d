// MAC addresses: canonical text, bytes, and the kind of address a VTEP may have.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { isUnicastMac, macFromBytes, macToBytes, parseMac, randomMac } from "../../../src/addr/mac.js";

test("accepts six colon-separated bytes in either case and nothing else", () => {
  assert.equal(parseMac("12:C6:65:89:B4:E3"), "12:c6:65:89:b4:e3");
  for (const text of [
    "",
    "12:c6:65:89:b4",
    "12-c6-65-89-b4-e3",
    "12:c6:65:89:b4:e3:00",
    "12:c6:65:89:b4:g3",
    "1:2:3:4:5:6",
  ]) {
    assert.equal(parseMac(text), null, text);
  }
});

test("every address survives bytes and text", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = macFromBytes(bytes);
      assert.equal(parseMac(mac), mac);
      assert.deepEqual(macToBytes(mac), new Uint8Array(bytes));
    }),
  );
});

test("a random address is locally administered unicast", () => {
  for (let i = 0; i < 200; i++) {
    const mac = randomMac();
    assert.equal((macToBytes(mac)[0] ?? 0) & 3, 2);
    assert.ok(isUnicastMac(mac));
  }
});

test("multicast and zero addresses are not unicast", () => {
  for (const text of ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"]) {
    const mac = parseMac(text);
    assert.ok(mac !== null && !isUnicastMac(mac), text);
  }
});
