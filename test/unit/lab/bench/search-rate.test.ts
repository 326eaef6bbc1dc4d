// The search for a rate, against paths whose limit is known.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RateSearch } from "../../../../src/lab/bench/search-rate.js";

/** A path that loses what exceeds its capacity, fed by a sender that has a limit of its own. */
function explore(search: RateSearch, capacity: number, senderMax = Number.POSITIVE_INFINITY): void {
  for (let asked = search.next(); asked !== null; asked = search.next()) {
    const offered = Math.min(asked, senderMax);
    const delivered = Math.min(offered, capacity);
    search.report({ asked, offered, delivered, sent: Math.round(offered), lost: Math.round(offered - delivered) });
  }
}

describe("the search for a rate", () => {
  for (const start of [1000, 60_000, 5_000_000]) {
    it(`finds the limit of a path from ${start} packets a second`, () => {
      const search = new RateSearch({ start, probesMax: 40 });
      explore(search, 140_000);
      assert.ok(search.littleLoss > 140_000 / 1.07 && search.littleLoss <= 140_000, String(search.littleLoss));
    });
  }

  it("ends where the sender ends, and claims no more than was delivered", () => {
    const search = new RateSearch({ start: 50_000 });
    explore(search, Number.POSITIVE_INFINITY, 200_000);
    assert.equal(search.littleLoss, 200_000);
    assert.ok(search.points.length <= 8, String(search.points.length));
  });

  it("asks for less until nothing is lost", () => {
    const search = new RateSearch({ start: 100_000, probesMax: 30 });
    for (let asked = search.next(); asked !== null; asked = search.next()) {
      // One packet in a thousand is lost above 50,000 a second, everything above 100,000.
      const lost = asked > 100_000 ? asked : asked > 50_000 ? Math.round(asked / 1000) : 0;
      search.report({ asked, offered: asked, delivered: asked - lost, sent: asked, lost });
    }
    assert.ok(search.littleLoss > 90_000);
    assert.ok(search.noLoss > 30_000 && search.noLoss <= 50_000, String(search.noLoss));
  });

  it("gives up on a path that carries nothing, and says so with 0", () => {
    const search = new RateSearch({ start: 10_000, probesMax: 50 });
    explore(search, 0);
    assert.equal(search.littleLoss, 0);
    assert.equal(search.noLoss, 0);
    assert.ok(search.points.length < 15);
  });

  it("never makes more probes than it may", () => {
    const search = new RateSearch({ start: 1000, probesMax: 3 });
    explore(search, 1_000_000);
    assert.equal(search.points.length, 3);
  });
});
