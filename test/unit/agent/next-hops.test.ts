// Which next hops are asked for, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mac } from "../../../src/addr/address.js";
import { ipv4 } from "../../../src/addr/ipv4.js";
import { prefix4 } from "../../../src/addr/prefix.js";
import { NextHopBook } from "../../../src/agent/next-hops.js";
import type { PeerHop } from "../../../src/backend/backend.js";
import type { Peer } from "../../../src/dataplane/peer-table.js";

const MAC = "02:00:00:00:00:01" as Mac;
const OTHER = "02:00:00:00:00:02" as Mac;
const peer = (id: number): Peer => ({
  id,
  leaseKey: `lease ${id}`,
  prefix: prefix4(ipv4(0x0af40000 + id * 256), 24),
  underlay: { family: 4, address: ipv4(0xc6120000 + id) },
  vtepMac: null,
  direct: false,
});
const via = (peers: readonly Peer[], mac: Mac | null, neighbor = "192.0.2.254"): ReadonlyMap<number, PeerHop> =>
  new Map(peers.map(({ id }) => [id, { device: "eth0", neighbor, mac, pathMtu: 1500 }]));
const ids = (peers: readonly Peer[]) => peers.map(({ id }) => id);

function bookOf(count: number) {
  const book = new NextHopBook(() => 0.5);
  const peers = Array.from({ length: count }, (_, i) => peer(i + 1));
  assert.equal(book.follow(peers), true);
  return { book, peers };
}

test("only what is new is asked for; what is known is asked for again later, the more peers the later", () => {
  const { book, peers } = bookOf(1_000);
  assert.equal(book.due(0).length, 1_000);
  assert.equal(book.learn(peers, via(peers, MAC), 0), true);
  assert.deepEqual(book.hops.get(7), { mac: MAC, pathMtu: 1500 });
  assert.deepEqual(book.due(30_000), []);
  assert.equal(book.nextDueMs, 60_000);
  const added = peer(2_000);
  assert.equal(book.follow([...peers, added]), true);
  assert.deepEqual(ids(book.due(30_000)), [2_000]);
  assert.equal(book.follow([...peers, added]), false);
});

test("a gateway's new MAC makes its peers due, its old one and strangers do not", () => {
  const { book, peers } = bookOf(3);
  const [first, ...others] = peers as [Peer, Peer, Peer];
  book.learn([first], via([first], MAC, "192.0.2.7"), 0);
  book.learn(others, via(others, MAC), 0);
  assert.equal(book.neighbor("192.0.2.254", MAC), false);
  assert.equal(book.neighbor("192.0.2.99", OTHER), false);
  assert.equal(book.neighbor("192.0.2.254", OTHER), true);
  assert.deepEqual(ids(book.due(1)), [2, 3]);
  const before = book.hops.get(1);
  assert.equal(book.learn(others, via(others, OTHER), 1), true);
  assert.equal(book.hops.get(2)?.mac, OTHER);
  assert.equal(book.hops.get(1), before);
});

test("a peer that does not answer is asked less and less, and at once when the kernel has resolved it", () => {
  const { book, peers } = bookOf(1);
  const waits: number[] = [];
  for (let now = 0, i = 0; i < 9; i++) {
    assert.equal(book.learn(peers, via(peers, null), now), false);
    waits.push(book.nextDueMs - now);
    now = book.nextDueMs;
  }
  assert.deepEqual(waits, [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]);
  assert.equal(book.hops.size, 0);
  assert.equal(book.neighbor("192.0.2.254", null), false);
  assert.equal(book.neighbor("192.0.2.254", MAC), true);
  assert.deepEqual(ids(book.due(1)), [1]);
});

test("a neighbor that fails takes its hop with it; what is gone is forgotten and waits for nothing", () => {
  const { book, peers } = bookOf(2);
  book.learn(peers, via(peers, MAC), 0);
  assert.equal(book.neighbor("192.0.2.254", null), true);
  assert.equal(book.learn(peers, via(peers, null), 1), true);
  assert.equal(book.hops.size, 0);
  book.expire();
  book.follow([]);
  assert.deepEqual(book.due(2), []);
  assert.equal(book.nextDueMs, Number.POSITIVE_INFINITY);
});

test("an answer about a peer that changed meanwhile is not believed", () => {
  const { book, peers } = bookOf(1);
  const moved = peer(1);
  book.follow([moved]);
  assert.equal(book.learn(peers, via(peers, MAC), 0), false);
  assert.deepEqual(book.due(0), [moved]);
});

test("what is heard while the kernel is asked leaves the peer due, and the answer is used meanwhile", () => {
  const news: readonly [what: string, hear: (book: NextHopBook) => unknown][] = [
    ["other ways", (book) => book.expire()],
    ["another MAC of the neighbor", (book) => book.neighbor("192.0.2.254", OTHER)],
    ["that the neighbor fails", (book) => book.neighbor("192.0.2.254", null)],
  ];
  for (const before of [null, via([peer(1)], MAC), via([peer(1)], MAC, "192.0.2.7")]) {
    for (const [what, hear] of news) {
      const { book, peers } = bookOf(1);
      if (before !== null) book.learn(peers, before, 0);
      book.expire();
      const asked = book.due(1);
      hear(book);
      assert.equal(asked.length, 1);
      book.learn(asked, via(peers, MAC), 1);
      assert.equal(book.hops.get(1)?.mac, MAC);
      assert.deepEqual(ids(book.due(1)), [1], what);
      book.learn(peers, via(peers, OTHER), 1);
      assert.deepEqual(book.due(2), [], "the answer to a question after the news is believed");
    }
  }
});

test("the news that an answer agrees with, or that is of another neighbor, makes nothing due", () => {
  const { book, peers } = bookOf(1);
  const asked = book.due(0);
  book.neighbor("192.0.2.254", null);
  book.neighbor("192.0.2.254", MAC);
  book.neighbor("192.0.2.99", OTHER);
  book.learn(asked, via(peers, MAC), 0);
  assert.deepEqual(book.due(1), []);
});

test("a neighbor is left when the last peer behind it goes, and not when another one is", () => {
  const { book, peers } = bookOf(3);
  book.learn(
    book.due(0),
    new Map([...via(peers.slice(0, 2), MAC, "192.0.2.7"), ...via(peers.slice(2), MAC, "192.0.2.8")]),
    0,
  );
  assert.equal(book.needs("192.0.2.7"), true);
  assert.equal(book.follow(peers.slice(1)), false);
  assert.deepEqual([...book.takeLeft()], []);
  assert.equal(book.follow(peers.slice(1, 2)), true, "it has to be given back");
  assert.deepEqual([...book.takeLeft()], ["192.0.2.8"]);
  assert.deepEqual([...book.takeLeft()], []);
  // Gone, and needed again before anybody asked.
  book.follow([]);
  book.follow(peers.slice(0, 1));
  book.learn(book.due(1_000_000), via(peers.slice(0, 1), MAC, "192.0.2.7"), 1_000_000);
  assert.deepEqual([...book.takeLeft()], []);
});
