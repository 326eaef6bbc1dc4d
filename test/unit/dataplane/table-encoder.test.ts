// The encoder that remembers writes the same bytes as the one that does not.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mac } from "../../../src/addr/address.js";
import { ipv4 } from "../../../src/addr/ipv4.js";
import { prefix4 } from "../../../src/addr/prefix.js";
import { encodePeerTable } from "../../../src/dataplane/codec.js";
import type { NextHop, Peer } from "../../../src/dataplane/peer-table.js";
import { TableEncoder } from "../../../src/dataplane/table-encoder.js";
import { SeededRandom } from "../../support/random.js";

const local = {
  prefixes: [prefix4(ipv4(0x0af40100), 24)],
  underlayV4: ipv4(0xc0000201),
  underlayV6: null,
  underlayMac: "02:00:00:00:00:01" as Mac,
  vtepMac: "02:00:00:00:00:02" as Mac,
  overlayMtu: 1450,
};
const peer = (id: number, last: number): Peer => ({
  id,
  leaseKey: `lease ${id}`,
  prefix: prefix4(ipv4(0x0af40000 + id * 256), 24),
  underlay: { family: 4, address: ipv4(0xc6120000 + last) },
  vtepMac: null,
  direct: false,
});
const hop = (last: number): NextHop => ({
  mac: `02:00:00:00:00:${(last % 250).toString(16).padStart(2, "0")}` as Mac,
  pathMtu: 1500 - last,
});

test("peers that come, go, change and move, with next hops that do, give the bytes of the plain encoder", () => {
  const random = new SeededRandom(3);
  const pick = (n: number) => random.below(n);
  const encoder = new TableEncoder();
  let peers: Peer[] = [];
  const hops = new Map<number, NextHop>();
  let last: ReadonlyMap<number, NextHop> = new Map();
  for (let step = 0; step < 400; step++) {
    const id = 1 + pick(30);
    const at = peers.findIndex((one) => one.id === id);
    const change = pick(6);
    if (at < 0) peers = [...peers, peer(id, pick(99))];
    else if (change === 0) peers = peers.toSpliced(at, 1);
    else if (change === 1) peers = peers.with(at, peer(id, pick(99)));
    else if (change === 2) hops.set(id, hop(pick(99)));
    else if (change === 3) hops.delete(id);
    else if (change === 4) peers = peers.toReversed();
    else peers = peers.toSpliced(at, 1).toSpliced(pick(peers.length), 0, peers[at] as Peer);
    const table = { version: BigInt(step), local, peers };
    const turned = new Set(
      [...new Set([...hops.keys(), ...last.keys()])].filter((one) => hops.get(one) !== last.get(one)),
    );
    last = new Map(hops);
    assert.deepEqual(encoder.encode(table, hops, turned), encodePeerTable(table, hops), `step ${step}`);
  }
});
