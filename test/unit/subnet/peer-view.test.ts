// Which peers are shown when records vanish, break or are claimed twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lease } from "../../../src/lease/lease.js";
import type { LeaseSnapshot } from "../../../src/store/store.js";
import { PeerView } from "../../../src/subnet/peer-view.js";
import { lease, leaseMap } from "../../support/lease-builder.js";

const OWN = "10.1.0.0-24";
const peers = (count: number): Lease[] =>
  Array.from({ length: count }, (_, i) => lease(`10.1.${i + 1}.0-24`, `192.0.2.${i + 1}`, BigInt(i + 1)));
const shot = (leases: readonly Lease[], quarantined: LeaseSnapshot["quarantined"] = []): LeaseSnapshot => ({
  leases: leaseMap(...leases),
  quarantined,
});
const own = lease(OWN, "192.0.2.250", 100n);

test("our own lease is not a peer", () => {
  const shown = new PeerView().update(shot([own, ...peers(2)]), OWN, false, 0);
  assert.deepEqual([...shown.peers.keys()].sort(), ["10.1.1.0-24", "10.1.2.0-24"]);
});

test("a single peer that leaves is gone at once", () => {
  const view = new PeerView();
  view.update(shot([own, ...peers(3)]), OWN, false, 0);
  const shown = view.update(shot([own, ...peers(2)]), OWN, false, 1);
  assert.equal(shown.peers.size, 2);
  assert.equal(shown.heldBack, 0);
});

test("when our own record is gone too, nobody is dropped until the time is up", () => {
  const view = new PeerView();
  view.update(shot([own, ...peers(1)]), OWN, false, 0);
  assert.equal(view.update(shot([]), OWN, true, 1_000).peers.size, 1);
  assert.equal(view.nextDeadlineMs(), 61_000);
  assert.equal(view.update(shot([own]), OWN, false, 60_999).peers.size, 1);
  assert.equal(view.update(shot([own]), OWN, false, 61_000).peers.size, 0);
  assert.equal(view.nextDeadlineMs(), Number.POSITIVE_INFINITY);
});

test("many that vanish within the window are held, also when they go one by one", () => {
  const view = new PeerView();
  view.update(shot(peers(20)), null, false, 0);
  for (let left = 19; left >= 10; left--) view.update(shot(peers(left)), null, false, 20 - left);
  const shown = view.update(shot(peers(10)), null, false, 50);
  assert.equal(shown.peers.size, 18, "two went before it looked like a storm");
  assert.equal(shown.heldBack, 8);
});

test("a peer that comes back is no longer held", () => {
  const view = new PeerView();
  view.update(shot([own, ...peers(5)]), OWN, false, 0);
  view.update(shot([]), OWN, true, 1);
  const shown = view.update(shot([own, ...peers(5)]), OWN, false, 2);
  assert.deepEqual([shown.peers.size, shown.heldBack], [5, 0]);
});

test("an address that somebody else holds now is not held for its old owner", () => {
  const view = new PeerView();
  view.update(shot([own, ...peers(5)]), OWN, false, 0);
  const claimed = lease("10.1.2.0-23", "192.0.2.99", 900n);
  const shown = view.update(shot([claimed]), OWN, true, 1);
  assert.deepEqual([...shown.peers.keys()].sort(), ["10.1.1.0-24", "10.1.2.0-23", "10.1.4.0-24", "10.1.5.0-24"]);
});

test("a record that became unreadable keeps its last good form and is reported", () => {
  const view = new PeerView();
  view.update(shot(peers(2)), null, false, 0);
  const bad = [{ key: "10.1.1.0-24", reason: "the value is no JSON" }];
  const shown = view.update(shot(peers(2).slice(1), bad), null, false, 1);
  assert.equal(shown.peers.size, 2);
  assert.deepEqual(shown.quarantined, bad);
  assert.equal(view.update(shot(peers(2).slice(1)), null, false, 2).peers.size, 1, "gone with its key");
});

test("the younger of two claims is left out and reported", () => {
  const shown = new PeerView().update(shot([...peers(2), lease("10.1.0.0-16", "192.0.2.77", 50n)]), null, false, 0);
  assert.equal(shown.peers.size, 2);
  assert.equal(shown.quarantined[0]?.key, "10.1.0.0-16");
});
