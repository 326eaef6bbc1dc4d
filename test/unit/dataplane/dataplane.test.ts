// The owner of the native data plane: what it refuses before it calls the addon.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Dataplane } from "../../../src/dataplane/dataplane.js";
import { sameOpenOptions } from "../../../src/dataplane/options.js";
import { FakeBinding, openOptions } from "../../support/fake-binding.js";

for (const { field, value, says } of [
  { field: "vni", value: 16_777_216, says: /vni \(16777216\): does not fit 24 bits/ },
  { field: "port", value: 0, says: /port \(0\): must be 1 to 65535/ },
  { field: "underlayDevice", value: "", says: /underlayDevice \(""\): is empty/ },
  { field: "underlayDevice", value: "a-name-of-16-char", says: /longer than the kernel's 15/ },
  { field: "overlayDevice", value: "", says: /overlayDevice \(""\): is empty; VXLAN steers/ },
  { field: "underlayPort", value: "dpdk", says: /underlayPort \("dpdk"\): must be auto or one of tap, xdp/ },
  { field: "workers", value: 0, says: /workers \(0\): must be at least 1/ },
  { field: "workers", value: 17, says: /workers \(17\): must be at most 16/ },
  { field: "cpus", value: [0, 2000], says: /cpus\.1 \(2000\): is no CPU number up to 1023/ },
  { field: "disable", value: ["tunnel gso"], says: /disable\.0 \("tunnel gso"\)/ },
]) {
  test(`${field} ${JSON.stringify(value)} is refused with field, value and remedy`, () => {
    const binding = new FakeBinding();
    assert.throws(() => Dataplane.open(binding, { ...openOptions(), [field]: value }), {
      code: "OPEN_OPTIONS_INVALID",
      message: says,
    });
    assert.equal(binding.opened.length, 0);
  });
}

test("an unknown option is refused", () => {
  assert.throws(() => Dataplane.open(new FakeBinding(), { ...openOptions(), vlan: 3 }), /vlan/);
});

test("what the kernel refused at open becomes the error", () => {
  const binding = new FakeBinding();
  binding.refuse = { code: "TAP_OPEN_FAILED", errno: 1, op: "ioctl(TUNSETIFF)", detail: "tap rs-ov" };
  assert.throws(() => Dataplane.open(binding, openOptions()), { code: "TAP_OPEN_FAILED", message: /CAP_NET_ADMIN/ });
});

test("a refused table leaves the earlier one in force", () => {
  const binding = new FakeBinding();
  const dataplane = Dataplane.open(binding, openOptions());
  dataplane.apply(new Uint8Array(72));
  const native = binding.opened[0];
  assert.ok(native);
  native.refuse = { code: "TABLE_INVALID", errno: 0, op: "apply", detail: "bad magic" };
  assert.throws(() => dataplane.apply(new Uint8Array(3)), { code: "TABLE_INVALID" });
  assert.equal(native.tables.length, 1);
});

test("close is idempotent and use after it is an error, not a crash", () => {
  const binding = new FakeBinding();
  const dataplane = Dataplane.open(binding, openOptions());
  assert.equal(dataplane.counters().encap.rxPackets, 1n);
  dataplane.close();
  dataplane.close();
  assert.equal(binding.opened[0]?.closed, 1);
  assert.throws(() => dataplane.inspect(), { code: "DATAPLANE_CLOSED" });
});

test("each worker's counters stand behind the sums", () => {
  const binding = new FakeBinding();
  const dataplane = Dataplane.open(binding, openOptions({ workers: 2 }));
  const names = BigInt(binding.counterLayout.length);
  assert.deepEqual(
    dataplane.workerCounters().map(({ encap }) => encap.rxPackets),
    [names + 1n, 2n * names + 1n],
  );
  assert.equal(dataplane.counters().encap.rxPackets, 1n);
});

test("options are the same whatever the order of features", () => {
  const a = openOptions({ disable: ["tcx", "tunnel-gso"] });
  assert.equal(sameOpenOptions(a, openOptions({ disable: ["tunnel-gso", "tcx"] })), true);
  assert.equal(sameOpenOptions(a, openOptions()), false);
});
