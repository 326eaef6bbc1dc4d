// Everything a peer publishes counts as a change; when a record was written does not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLeases } from "../../../src/lease/differ.js";
import { lease, leaseMap, vxlanAttrs } from "../../support/lease-builder.js";

const BASE = lease("10.1.2.0-24", "192.0.2.1");

test("equal snapshots differ in nothing, also when records were renewed", () => {
  const renewed = {
    ...BASE,
    modRevision: 9n,
    expiresAt: 5,
    attrs: { ...BASE.attrs, backendData: { VtepMAC: "02:00:00:00:00:01", VNI: 1 } },
  };
  assert.deepEqual(diffLeases(leaseMap(BASE), leaseMap(renewed)), { added: [], changed: [], removed: [] });
});

test("a changed MAC, public IP, backend type or IPv6 data is a change", () => {
  const changes = [
    { ...BASE, attrs: vxlanAttrs("192.0.2.1", "02:00:00:00:00:02") },
    { ...BASE, attrs: vxlanAttrs("192.0.2.2") },
    { ...BASE, attrs: { ...BASE.attrs, backendType: "host-gw" } },
    { ...BASE, attrs: { ...BASE.attrs, backendV6Data: { VNI: 1 } } },
  ];
  for (const after of changes)
    assert.deepEqual(diffLeases(leaseMap(BASE), leaseMap(after)), {
      added: [],
      changed: [{ before: BASE, after }],
      removed: [],
    });
});

test("added and removed are told apart", () => {
  const other = lease("10.1.3.0-24", "192.0.2.2");
  assert.deepEqual(diffLeases(leaseMap(BASE), leaseMap(other)), { added: [other], changed: [], removed: [BASE] });
});
