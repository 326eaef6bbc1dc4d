// Keys and values against flannel's recorded forms, and garbage against one reason each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { ipv4 } from "../../../src/addr/ipv4.js";
import { ipv6 } from "../../../src/addr/ipv6.js";
import { prefix4, prefix6 } from "../../../src/addr/prefix.js";
import { decodeLeaseAttrs, decodeSubnetKey, encodeLeaseAttrs, encodeSubnetKey } from "../../../src/lease/codec.js";

const RECORDED_KEYS = ["10.1.2.0-24", "10.1.2.0-24&fd00:12:13::-64", "0.0.0.0-0&fd00::-64"];
/** As flannel's encoder writes them. */
const RECORDED_VALUES = [
  '{"PublicIP":"192.0.2.10","PublicIPv6":null}',
  '{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"host-gw"}',
  '{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}}',
  '{"PublicIP":"192.0.2.10","PublicIPv6":"2001:db8::10","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"},"BackendV6Data":{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e4"}}',
  '{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"a/b+c=","Port":51820}}',
];

test("flannel's own records come out byte for byte as they went in", () => {
  for (const key of RECORDED_KEYS) {
    const decoded = decodeSubnetKey(key);
    assert.ok(decoded.ok, key);
    assert.equal(encodeSubnetKey(decoded.value), key);
  }
  for (const value of RECORDED_VALUES) {
    const decoded = decodeLeaseAttrs(value);
    assert.ok(decoded.ok, value);
    assert.equal(encodeLeaseAttrs(decoded.value), value);
  }
});

test("field names match without case, unknown fields and order do not matter", () => {
  const decoded = decodeLeaseAttrs('{"backendtype":"vxlan","Extra":[1],"publicip":"192.0.2.10","BackendData":null}');
  assert.deepEqual(decoded, {
    ok: true,
    value: { publicIp: ipv4(0xc000020a), publicIpv6: null, backendType: "vxlan" },
  });
});

test("an IPv6-only lease writes the zero IPv4 address as flannel does", () => {
  const attrs = { publicIp: null, publicIpv6: ipv6(1n), backendType: "" };
  assert.equal(encodeLeaseAttrs(attrs), '{"PublicIP":"0.0.0.0","PublicIPv6":"::1"}');
  assert.deepEqual(decodeLeaseAttrs(encodeLeaseAttrs(attrs)), { ok: true, value: attrs });
});

test("characters that Go escapes are escaped", () => {
  const text = encodeLeaseAttrs({
    publicIp: ipv4(1),
    publicIpv6: null,
    backendType: "extension",
    backendData: "<a&b>\u2028",
  });
  assert.match(text, /"\\u003ca\\u0026b\\u003e\\u2028"/);
});

test("a bad key is refused with a reason that quotes it", () => {
  for (const key of [
    "",
    "config",
    "10.1.2.0",
    "10.1.2.0/24",
    "10.1.2.0-33",
    "10.1.2.0-32",
    "10.1.2.0-",
    "10.1.2.1-24",
    "010.1.2.0-24",
    "x10.1.2.0-24",
    "10.1.2.0-24&",
    "10.1.2.0-24&FD00::-64",
    "10.1.2.0-24&fd00::-128",
    "10.1.2.0-24&fd00::-64&x",
    "0.0.0.0-0",
    "10.1.2.0-24/x",
    "10.1.2.0-24 ",
  ]) {
    const decoded = decodeSubnetKey(key);
    assert.ok(!decoded.ok, `accepted ${JSON.stringify(key)}`);
    assert.ok(decoded.reason.includes(`key "${key}"`));
  }
});

test("a bad value is refused with a reason", () => {
  const rows: [string, RegExp][] = [
    ["", /empty/],
    ["garbage", /no JSON/],
    ["[]", /no JSON object/],
    ["null", /no JSON object/],
    ['{"PublicIP":"192.0.2"}', /PublicIP is "192\.0\.2"/],
    ['{"PublicIP":7}', /PublicIP is 7/],
    ['{"PublicIP":"192.0.2.1","PublicIPv6":"x"}', /PublicIPv6 is "x"/],
    ['{"PublicIP":"192.0.2.1","BackendType":{}}', /BackendType is \{\}/],
    ["{}", /no public IP/],
  ];
  for (const [value, reason] of rows) {
    const decoded = decodeLeaseAttrs(value);
    assert.ok(!decoded.ok, value);
    assert.match(decoded.reason, reason);
  }
});

test("every subnet survives its key", () => {
  const v4 = fc
    .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 1, max: 31 }))
    .map(([address, length]) => prefix4(ipv4(address), length));
  const v6 = fc
    .tuple(fc.bigInt(0n, (1n << 128n) - 1n), fc.integer({ min: 1, max: 127 }))
    .map(([address, length]) => prefix6(ipv6(address), length));
  fc.assert(
    fc.property(fc.option(v4), fc.option(v6), (subnet, ipv6Subnet) => {
      if (subnet === null && ipv6Subnet === null) return;
      assert.deepEqual(decodeSubnetKey(encodeSubnetKey({ subnet, ipv6Subnet })), {
        ok: true,
        value: { subnet, ipv6Subnet },
      });
    }),
  );
});

test("no text makes decoding throw", () => {
  const field = fc.constantFrom("PublicIP", "publicip", "PublicIPv6", "BackendType", "BackendData", "__proto__");
  const value = fc
    .dictionary(field, fc.oneof(fc.constantFrom("1.2.3.4", "::1", null), fc.jsonValue()))
    .map((object) => JSON.stringify(object));
  fc.assert(
    fc.property(fc.oneof(value, fc.string(), fc.json()), (text) => {
      decodeSubnetKey(text);
      const decoded = decodeLeaseAttrs(text);
      if (decoded.ok) assert.deepEqual(decodeLeaseAttrs(encodeLeaseAttrs(decoded.value)).ok, true);
    }),
    { numRuns: 1000 },
  );
});
