// Which networks of other agents stand in the way of this one, from the text in which the kernel lists sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Prefix } from "../../../src/addr/address.js";
import { formatPrefix, parsePrefix } from "../../../src/addr/prefix.js";
import { overlapAmong } from "../../../src/agent/overlay-claim.js";

const SOCKETS = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 22187 /run/ripstop/agent.sock
0000000000000000: 00000003 00000000 00000000 0001 03 22191
0000000000000000: 00000002 00000000 00010000 0001 01 23061 @ripstop/vxlan 1
0000000000000000: 00000002 00000000 00010000 0001 01 23062 @ripstop/network 10.244.0.0/16
0000000000000000: 00000002 00000000 00010000 0001 01 23063 @ripstop/network fd00:244::/48@@@@
0000000000000000: 00000002 00000000 00010000 0001 01 23064 @ripstop/network of somebody else
0000000000000000: 00000002 00000000 00010000 0001 01 23065 @else/ripstop/network 172.16.0.0/12
`;

function overlapWith(...texts: readonly string[]): string | null {
  const own = texts.map((text): Prefix => parsePrefix(text) ?? assert.fail(text));
  const met = overlapAmong(SOCKETS, own);
  return met === null ? null : `${formatPrefix(met.mine)} in ${formatPrefix(met.other)}`;
}

test("a network that holds, or lies in, what another agent claimed is found, in both families", () => {
  assert.equal(overlapWith("10.244.7.0/24"), "10.244.7.0/24 in 10.244.0.0/16");
  assert.equal(overlapWith("10.0.0.0/8"), "10.0.0.0/8 in 10.244.0.0/16");
  assert.equal(overlapWith("10.99.0.0/16", "fd00:244:0:ff00::/56"), "fd00:244:0:ff00::/56 in fd00:244::/48");
});

test("neighbors, networks of another family and the sockets of other programs are in nobody's way", () => {
  assert.equal(overlapWith("10.245.0.0/16"), null);
  assert.equal(overlapWith("172.16.0.0/12"), null);
  assert.equal(overlapWith("fd00:245::/48"), null);
});

test("what equals one's own network is one's own claim", () => {
  assert.equal(overlapWith("10.244.0.0/16", "fd00:244::/48"), null);
});
