// How a pod of the lab gets its address from its node's subnet file.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSubnetFile, podAddress, podAddressV6 } from "../../../src/lab/pod.js";

test("a pod follows the subnet file of its node", () => {
  const subnet = parseSubnetFile(
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.17.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
  );
  assert.deepEqual(subnet, { gateway: "10.244.17.1", prefixLength: 24, mtu: 1450, ipv6: null });
  assert.equal(podAddress(subnet), "10.244.17.2");
  assert.equal(podAddressV6(subnet), null);
});

test("a dual-stack pod has an address of each family", () => {
  const subnet = parseSubnetFile(
    "FLANNEL_SUBNET=10.244.17.1/24\nFLANNEL_IPV6_SUBNET=fd00:10:244:11::1/64\nFLANNEL_MTU=1450\n",
  );
  assert.deepEqual(subnet?.ipv6, { gateway: "fd00:10:244:11::1", prefixLength: 64 });
  assert.equal(podAddressV6(subnet), "fd00:10:244:11::2");
});

test("an incomplete subnet file is no subnet", () => {
  assert.equal(parseSubnetFile(""), null);
  assert.equal(parseSubnetFile("FLANNEL_SUBNET=10.244.17.1/24\n"), null);
  assert.equal(parseSubnetFile("FLANNEL_SUBNET=10.244.17.1\nFLANNEL_MTU=1450\n"), null);
});
