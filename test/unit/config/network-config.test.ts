// net-conf.json: flannel's defaults, lenience and every refusal.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { formatPrefix } from "../../../src/addr/prefix.js";
import { BACKEND_TYPES } from "../../../src/backend/catalog.js";
import { FIELDS_OF_BACKEND } from "../../../src/config/backend-fields.js";
import { parseUdpOptions, parseVxlanOptions } from "../../../src/config/backend-options.js";
import { chooseDataPlane, parseNetworkConfig } from "../../../src/config/network-config.js";
import type { SubnetRange4, SubnetRange6 } from "../../../src/config/subnet-range.js";
import { RipstopError } from "../../../src/lib/errors.js";

const VXLAN = { Type: "vxlan" };
const parse = (config: object) => parseNetworkConfig(JSON.stringify({ Backend: VXLAN, ...config }));
const describe = (range: SubnetRange4 | SubnetRange6 | null) =>
  range === null ? null : `${range.subnetLen} ${formatPrefix(range.min)} ${formatPrefix(range.max)}`;

test("derives subnet length and range as flannel does", () => {
  const rows: [object, string][] = [
    [{ Network: "10.3.0.0/16" }, "24 10.3.1.0/24 10.3.255.0/24"],
    [{ Network: "10.3.9.9/16" }, "24 10.3.1.0/24 10.3.255.0/24"],
    [{ Network: "10.3.0.0/22" }, "24 10.3.1.0/24 10.3.3.0/24"],
    [{ Network: "10.3.0.0/23" }, "25 10.3.0.128/25 10.3.1.128/25"],
    [{ Network: "10.3.0.0/28" }, "30 10.3.0.4/30 10.3.0.12/30"],
    [{ Network: "10.0.0.0/8", SubnetLen: 20 }, "20 10.0.16.0/20 10.255.240.0/20"],
    [
      { Network: "10.0.0.0/8", SubnetLen: 20, SubnetMin: "10.10.0.0", SubnetMax: "10.99.0.0" },
      "20 10.10.0.0/20 10.99.0.0/20",
    ],
    [{ Network: "10.3.0.0/16", SubnetMin: "0.0.0.0", SubnetMax: "0.0.0.0" }, "24 10.3.1.0/24 10.3.255.0/24"],
    [{ network: "10.3.0.0/16", subnetlen: 25 }, "25 10.3.0.128/25 10.3.255.128/25"],
  ];
  for (const [config, expected] of rows) assert.equal(describe(parse(config).range), expected, JSON.stringify(config));
});

test("derives the IPv6 range with the same body", () => {
  const rows: [object, string][] = [
    [{ IPv6Network: "fc00::/48" }, "64 fc00:0:0:1::/64 fc00:0:0:ffff::/64"],
    [{ IPv6Network: "fc00::/62" }, "64 fc00:0:0:1::/64 fc00:0:0:3::/64"],
    [{ IPv6Network: "fc00::/63" }, "65 fc00::8000:0:0:0/65 fc00:0:0:1:8000::/65"],
    [{ IPv6Network: "fc00::/124" }, "126 fc00::4/126 fc00::c/126"],
    [
      { IPv6Network: "fc00::/48", IPv6SubnetMin: null, IPv6SubnetMax: "fc00:0:0:f::" },
      "64 fc00:0:0:1::/64 fc00:0:0:f::/64",
    ],
  ];
  for (const [config, expected] of rows) {
    const parsed = parse({ EnableIPv4: false, EnableIPv6: true, ...config });
    assert.equal(describe(parsed.ipv6Range), expected, JSON.stringify(config));
    assert.equal(parsed.network, null);
  }
});

test("refuses what flannel's etcd manager refuses, with its words, the value and a remedy", () => {
  const v6 = { EnableIPv4: false, EnableIPv6: true };
  const rows: [object, RegExp][] = [
    [{}, /please define a correct Network parameter in the flannel config/],
    [{ Network: "10.0.0.0/8", SubnetLen: 31 }, /SubnetLen must be less than \/31.*31/],
    [{ Network: "10.0.0.0/24", SubnetLen: 25 }, /network must be able to accommodate at least four subnets.*25/],
    [{ Network: "10.0.0.0/29" }, /network is too small\. Minimum useful network prefix is \/28.*10\.0\.0\.0\/29/],
    [{ Network: "10.0.0.0/16", SubnetMin: "10.1.0.0" }, /SubnetMin is not in the range of the Network.*10\.1\.0\.0/],
    [{ Network: "10.0.0.0/16", SubnetMax: "10.1.0.0" }, /SubnetMax is not in the range of the Network/],
    [
      { Network: "10.0.0.0/16", SubnetMin: "10.0.1.1" },
      /SubnetMin is not on a SubnetLen boundary: 10\.0\.1\.1; use 10\.0\.1\.0/,
    ],
    [{ Network: "10.0.0.0/16", SubnetMax: "10.0.1.1" }, /SubnetMax is not on a SubnetLen boundary: 10\.0\.1\.1/],
    [
      { Network: "10.0.0.0/16", SubnetMin: "10.0.9.0", SubnetMax: "10.0.1.0" },
      /SubnetMin 10\.0\.9\.0 is above SubnetMax 10\.0\.1\.0/,
    ],
    [{ ...v6 }, /please define a correct IPv6Network parameter in the flannel config/],
    [
      { ...v6, IPv6Network: "fc00::/48", IPv6SubnetLen: 127 },
      /SubnetLen must be less than \/127.*IPv6SubnetLen is 127/,
    ],
    [
      { ...v6, IPv6Network: "fc00::/63", IPv6SubnetLen: 64 },
      /network must be able to accommodate at least four subnets/,
    ],
    [{ ...v6, IPv6Network: "fc00::/125" }, /IPv6Network is too small\. Minimum useful network prefix is \/124/],
    [
      { ...v6, IPv6Network: "fc00::/48", IPv6SubnetMin: "fd00::" },
      /IPv6SubnetMin is not in the range of the IPv6Network/,
    ],
    [
      { ...v6, IPv6Network: "fc00::/48", IPv6SubnetMax: "fc00::1" },
      /IPv6SubnetMax is not on a SubnetLen boundary: fc00::1/,
    ],
    [{ ...v6, IPv6Network: "10.0.0.0/8" }, /IPv6Network is "10\.0\.0\.0\/8".*invalid IPv6 CIDR/],
    [{ EnableIPv4: false }, /none defined stack/],
    [{ Network: "fd00::/48" }, /Network is "fd00::\/48".*invalid IPv4 CIDR format/],
    [{ Network: null }, /Network is null/],
    [{ Network: "10.0.0.0/16", SubnetMin: null }, /SubnetMin is null; invalid IP address format/],
    [{ Network: "10.0.0.0/16", SubnetMin: "" }, /SubnetMin is ""/],
    [{ Network: "10.0.0.0/16", SubnetLen: "24" }, /SubnetLen is "24"/],
    [{ Network: "10.0.0.0/16", SubnetLen: -1 }, /SubnetLen is -1/],
    [{ Network: "10.0.0.0/16", SubnetLen: 24.5 }, /SubnetLen is 24\.5/],
    [{ Network: "10.0.0.0/16", EnableIPv4: "yes" }, /EnableIPv4 is "yes"; give true or false/],
    [{ Network: "10.0.0.0/16", Backend: {} }, /unknown backend type: /],
    [{ Network: "10.0.0.0/16", Backend: null }, /unknown backend type: /],
    [{ Network: "10.0.0.0/16", Backend: { Type: 1 } }, /error decoding Backend property of config: Type is 1/],
    [{ Network: "10.0.0.0/16", Backend: "vxlan" }, /error decoding Backend property of config/],
    [
      { Network: "10.0.0.0/16", Backend: { Type: "vxlan", DataPlane: { Mode: "magic" } } },
      /Backend\.DataPlane\.Mode is "magic"; give one of auto, kernel, userspace/,
    ],
    [
      { Network: "10.0.0.0/16", Backend: { Type: "vxlan", DataPlane: { Workers: 17 } } },
      /Backend\.DataPlane\.Workers is 17; give a number from 0 to 16/,
    ],
    [
      { Network: "10.0.0.0/16", Backend: { Type: "vxlan", DataPlane: { Cpus: [0, -1] } } },
      /Backend\.DataPlane\.Cpus is \[0,-1\]; give CPU numbers/,
    ],
    [{ Network: "10.0.0.0/16", Backend: { Type: "vxlan", DataPlane: [] } }, /Backend\.DataPlane is \[\]/],
  ];
  for (const [config, message] of rows) {
    assert.throws(
      () => parse(config),
      (error: unknown) => {
        assert.ok(error instanceof RipstopError, JSON.stringify(config));
        assert.equal(error.code, "NETWORK_CONFIG_INVALID");
        assert.match(error.message, message);
        assert.match(error.message, /; /, "a remedy");
        return true;
      },
    );
  }
  assert.throws(() => parseNetworkConfig("{"), /no JSON/);
  assert.throws(() => parseNetworkConfig("[]"), /no JSON object/);
});

test("a missing Backend is udp, as in flannel, and is warned about", () => {
  const config = parseNetworkConfig('{"Network":"10.0.0.0/16"}');
  assert.equal(config.backendType, "udp");
  assert.match(config.warnings.join(), /Backend is missing/);
});

test("the type is compared without case and unknown keys are ignored with a warning", () => {
  const config = parseNetworkConfig(
    '{"Network":"10.0.0.0/16","Extra":1,"__proto__":{"x":1},"Backend":{"type":"VXLAN","vni":7}}',
  );
  assert.equal(config.backendType, "vxlan");
  assert.equal(config.warnings.length, 2);
  assert.deepEqual(parseVxlanOptions(config.backend), {
    vni: 7,
    port: 0,
    mtu: 0,
    gbp: false,
    learning: false,
    directRouting: false,
  });
});

test("what a backend does not read is named, and what flannel's other nodes read is not", () => {
  const warnings = (backend: object) =>
    parseNetworkConfig(JSON.stringify({ Network: "10.0.0.0/16", Backend: backend })).warnings;
  assert.deepEqual(
    warnings({ type: "vxlan", VNI: 1, port: 8472, DataPlane: {}, MacPrefix: "0E-2A", Name: "flannel" }),
    [],
  );
  assert.deepEqual(warnings({ Type: "VXLAN", Prot: 4789 }), ['key "Prot" in Backend has no effect with VXLAN']);
  assert.deepEqual(warnings({ Type: "host-gw", VNI: 1 }), ['key "VNI" in Backend has no effect with host-gw']);
  assert.deepEqual(warnings({ Type: "wireguard", Port: 1 }), ['key "Port" in Backend has no effect with wireguard']);
  assert.deepEqual(warnings({ Type: "gce", Whatever: 1 }), []);
  for (const type of BACKEND_TYPES) assert.ok(FIELDS_OF_BACKEND.has(type), type);
});

test("Subnet fields mean nothing where the cluster allocates", () => {
  const config = parseNetworkConfig('{"Network":"10.0.0.0/30","SubnetLen":31,"Backend":{"Type":"host-gw"}}', {
    allocates: false,
  });
  assert.equal(config.range, null);
});

test("backend options have flannel's defaults and refuse what cannot be", () => {
  assert.deepEqual(parseVxlanOptions({}), {
    vni: 1,
    port: 0,
    mtu: 0,
    gbp: false,
    learning: false,
    directRouting: false,
  });
  assert.equal(parseUdpOptions({}).port, 8285);
  assert.throws(
    () => parseVxlanOptions({ VNI: 1 << 24 }),
    /Backend\.VNI is 16777216; give a number from 0 to 16777215/,
  );
  assert.throws(() => parseUdpOptions({ Port: "8285" }), /Backend\.Port/);
});

test("flags win over Backend.DataPlane, which wins over the defaults", () => {
  const { dataPlane } = parse({
    Network: "10.0.0.0/16",
    Backend: {
      Type: "vxlan",
      DataPlane: { mode: "userspace", UnderlayPort: "xdp", cpus: [2, 3], Disable: ["tunnel-gso"] },
    },
  });
  const chosen = chooseDataPlane({ mode: "kernel" }, dataPlane);
  assert.deepEqual(chosen, {
    mode: "kernel",
    underlayPort: "xdp",
    overlayPort: "auto",
    workers: 0,
    cpus: [2, 3],
    busyPollUs: 0,
    disable: ["tunnel-gso"],
  });
});

test("a feature that no data plane knows is named, because forcing it off has no effect", () => {
  const Disable = ["tcx", "tunel-gso"];
  const { dataPlane, warnings } = parse({ Network: "10.0.0.0/16", Backend: { Type: "vxlan", DataPlane: { Disable } } });
  assert.deepEqual(dataPlane.disable, Disable);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? "",
    /unknown feature "tunel-gso" in Backend\.DataPlane\.Disable has no effect; .*tunnel-gso/,
  );
});

test("any JSON is a configuration or a RipstopError, never a crash", () => {
  const keys = fc.constantFrom(
    "Network",
    "network",
    "SubnetLen",
    "SubnetMin",
    "SubnetMax",
    "EnableIPv6",
    "IPv6Network",
    "IPv6SubnetLen",
    "Backend",
    "__proto__",
    "x",
  );
  const leaf = fc.oneof(
    fc.constantFrom("10.0.0.0/16", "fd00::/48", "10.0.1.0", "0.0.0.0/0", "::/0", 24, 0, true, null, "vxlan"),
    fc.jsonValue(),
  );
  const config = fc.dictionary(keys, fc.oneof(leaf, fc.record({ Type: leaf, DataPlane: leaf })));
  fc.assert(
    fc.property(
      fc.oneof(
        config.map((value) => JSON.stringify(value)),
        fc.json(),
        fc.string(),
      ),
      fc.boolean(),
      (text, allocates) => {
        try {
          parseNetworkConfig(text, { allocates });
        } catch (error) {
          assert.ok(error instanceof RipstopError, String(error));
        }
      },
    ),
    { numRuns: 1000 },
  );
});
