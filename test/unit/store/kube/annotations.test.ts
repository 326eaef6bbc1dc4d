// flannel's annotations: the names, what we write, and that no byte string in them does more than disqualify its node.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseIpv4 } from "../../../../src/addr/ipv4.js";
import { parseIpv6 } from "../../../../src/addr/ipv6.js";
import { formatPrefix } from "../../../../src/addr/prefix.js";
import type { LeaseAttrs } from "../../../../src/lease/lease.js";
import {
  annotationNames,
  assignedSubnets,
  decodeNode,
  encodeAttrs,
  nodeAddresses,
} from "../../../../src/store/kube/annotations.js";
import { type KubeNode, readNode } from "../../../../src/store/kube/node.js";
import { vxlanAttrs } from "../../../support/lease-builder.js";
import { propertyRuns } from "../../../support/property-runs.js";

const names = annotationNames("flannel.alpha.coreos.com");

function node(annotations: Record<string, string> = {}, podCidrs: readonly string[] = ["10.244.1.0/24"]): KubeNode {
  return { name: "n1", uid: "u", createdMs: 1, annotations: new Map(Object.entries(annotations)), podCidrs };
}

function marked(more: Record<string, string>, podCidrs?: readonly string[]): KubeNode {
  return node({ [names.subnetManager]: "true", ...more }, podCidrs);
}

describe("annotation names", () => {
  it("continue the prefix as flannel continues it", () => {
    assert.equal(names.publicIp, "flannel.alpha.coreos.com/public-ip");
    assert.equal(annotationNames("example.org/").publicIp, "example.org/public-ip");
    assert.equal(annotationNames("example.org/net").publicIp, "example.org/net-public-ip");
    assert.equal(annotationNames("example.org/net-").publicIp, "example.org/net-public-ip");
    assert.equal(names.backendV6Data, "flannel.alpha.coreos.com/backend-v6-data");
  });

  for (const prefix of ["flannel", "Example.org", "a.b/c/d", "", "a.b/C", ".org/x", "-a.b"]) {
    it(`are refused for the prefix "${prefix}"`, () => {
      assert.throws(() => annotationNames(prefix), { code: "FLAG_INVALID" });
    });
  }
});

describe("what we write", () => {
  it("is flannel's five texts for vxlan", () => {
    assert.deepEqual(encodeAttrs(vxlanAttrs("192.0.2.1", "02:00:00:00:00:09"), node(), names), {
      [names.subnetManager]: "true",
      [names.backendType]: "vxlan",
      [names.backendData]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:09"}',
      [names.publicIp]: "192.0.2.1",
    });
  });

  it("is the text null for a backend without data", () => {
    const attrs = { publicIp: parseIpv4("192.0.2.1"), publicIpv6: null, backendType: "host-gw" };
    assert.equal(encodeAttrs(attrs, node(), names)[names.backendData], "null");
  });

  it("leaves out what is there already", () => {
    const attrs = vxlanAttrs("192.0.2.1");
    const written = encodeAttrs(attrs, node(), names);
    assert.deepEqual(encodeAttrs(attrs, node(written), names), {});
  });

  it("has the second family only where the backend has something to say of it", () => {
    const v6 = parseIpv6("2001:db8::1");
    const vxlan: LeaseAttrs = { ...vxlanAttrs("192.0.2.1"), publicIpv6: v6 };
    assert.ok(!(names.publicIpv6 in encodeAttrs(vxlan, node(), names)));
    const both = encodeAttrs({ ...vxlan, backendV6Data: { VNI: 1 } }, node(), names);
    assert.equal(both[names.publicIpv6], "2001:db8::1");
    const gateway = encodeAttrs({ publicIp: null, publicIpv6: v6, backendType: "host-gw" }, node(), names);
    assert.equal(gateway[names.backendV6Data], "null");
  });

  it("publishes the address that the user wrote instead of ours", () => {
    const written = encodeAttrs(vxlanAttrs("192.0.2.1"), node({ [names.publicIpOverwrite]: "198.51.100.7" }), names);
    assert.equal(written[names.publicIp], "198.51.100.7");
    const broken = encodeAttrs(vxlanAttrs("192.0.2.1"), node({ [names.publicIpOverwrite]: "here" }), names);
    assert.equal(broken[names.publicIp], "192.0.2.1");
  });
});

describe("what others wrote", () => {
  it("is read back as it was meant", () => {
    const attrs = { ...vxlanAttrs("192.0.2.1"), publicIpv6: parseIpv6("2001:db8::1"), backendV6Data: { VNI: 1 } };
    const cidrs = ["10.244.1.0/24", "fd00:1::/64"];
    const decoded = decodeNode(node(encodeAttrs(attrs, node(), names), cidrs), names);
    assert.ok(decoded !== null && typeof decoded !== "string");
    assert.deepEqual(decoded.attrs, attrs);
    assert.equal(decoded.subnets.subnet && formatPrefix(decoded.subnets.subnet), "10.244.1.0/24");
    assert.equal(decoded.subnets.ipv6Subnet && formatPrefix(decoded.subnets.ipv6Subnet), "fd00:1::/64");
  });

  it("does not make a node without the mark a peer", () => {
    assert.equal(decodeNode(node({ [names.publicIp]: "192.0.2.1" }), names), null);
    assert.equal(decodeNode(node({ [names.subnetManager]: "yes" }), names), null);
  });

  for (const [what, more, cidrs, reason] of [
    ["no address", {}, undefined, /public-ip is missing/],
    ["a broken address", { [names.publicIp]: "192.0.2" }, undefined, /public-ip is "192.0.2"/],
    ["no pod CIDR", { [names.publicIp]: "192.0.2.1" }, [], /pod cidr not assigned/],
    ["a broken pod CIDR", { [names.publicIp]: "192.0.2.1" }, ["10.244.0.0"], /is no CIDR/],
    ["three pod CIDRs", { [names.publicIp]: "192.0.2.1" }, ["10.1.0.0/24", "fd00::/64", "10.2.0.0/24"], /3 pod CIDRs/],
    ["broken data", { [names.publicIp]: "192.0.2.1", [names.backendData]: "{" }, undefined, /backend-data is "\{"/],
    [
      "endless data",
      { [names.publicIp]: "192.0.2.1", [names.backendData]: "x".repeat(5000) },
      undefined,
      /more than 4096 char/,
    ],
  ] as const) {
    it(`with ${what} says so and no more`, () => {
      const decoded = decodeNode(marked(more, cidrs), names);
      assert.ok(typeof decoded === "string");
      assert.match(decoded, reason);
    });
  }

  it("is not kept when it is endless", () => {
    const endless = { metadata: { name: "n1", annotations: { [names.backendData]: "ä".repeat(200_000) } } };
    const kept = readNode(endless, names)?.annotations.get(names.backendData);
    assert.equal(kept, "ä".repeat(4097));
  });

  it("may be any text at all", () => {
    const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.json(), fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...(Object.values(names) as string[])), text), text, (all, cidr) => {
        const object = {
          metadata: { name: "n1", annotations: { ...all, [names.subnetManager]: "true" } },
          spec: { podCIDR: cidr },
        };
        const read = readNode(object, names);
        assert.ok(read !== null);
        const decoded = decodeNode(read, names);
        assert.ok(
          decoded === null || typeof decoded === "string" || decoded.attrs.backendType === all[names.backendType],
        );
        encodeAttrs(vxlanAttrs("192.0.2.1"), read, names);
        nodeAddresses(read, names);
      }),
      propertyRuns(500),
    );
  });

  it("may be any JSON where a node should be", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (metadata, spec) => {
        const read = readNode({ metadata, spec }, names);
        if (read !== null) assignedSubnets(read);
      }),
      propertyRuns(500),
    );
  });
});
