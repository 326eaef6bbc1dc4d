// Who wins when records claim the same addresses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fc } from "../../support/property-runs.js";
import { prefixesOverlap } from "../../../src/addr/prefix.js";
import { ClaimBook, settleClaims } from "../../../src/lease/claims.js";
import type { Lease } from "../../../src/lease/lease.js";
import { SharedMap } from "../../../src/lib/shared-map.js";
import { lease, leaseMap } from "../../support/lease-builder.js";
import { SeededRandom } from "../../support/random.js";

const standing = (...leases: Lease[]) => [...settleClaims(leaseMap(...leases)).leases.keys()];

test("disjoint leases all stand", () => {
  assert.deepEqual(standing(lease("10.1.2.0-24", "192.0.2.1"), lease("10.1.3.0-24", "192.0.2.2")), [
    "10.1.2.0-24",
    "10.1.3.0-24",
  ]);
});

test("the older claim wins, whichever is larger", () => {
  assert.deepEqual(standing(lease("10.1.0.0-16", "192.0.2.1", 5n), lease("10.1.2.0-24", "192.0.2.2", 4n)), [
    "10.1.2.0-24",
  ]);
  const settled = settleClaims(leaseMap(lease("10.1.0.0-16", "192.0.2.1", 3n), lease("10.1.2.0-24", "192.0.2.2", 4n)));
  assert.deepEqual(settled.quarantined, [
    { key: "10.1.2.0-24", reason: "claims addresses of the older 10.1.0.0-16 (10.1.0.0/16)" },
  ]);
});

test("a loser does not defeat a third claim", () => {
  assert.deepEqual(
    standing(
      lease("10.1.2.0-24", "192.0.2.1", 1n),
      lease("10.1.0.0-16", "192.0.2.2", 2n),
      lease("10.1.9.0-24", "192.0.2.3", 3n),
    ),
    ["10.1.2.0-24", "10.1.9.0-24"],
  );
});

test("a dual-stack lease is lost as a whole when one family is taken", () => {
  assert.deepEqual(
    standing(
      lease("10.1.2.0-24&fd00:0:0:2::-64", "192.0.2.1", 2n),
      lease("10.1.3.0-24&fd00:0:0:2::-64", "192.0.2.2", 1n),
    ),
    ["10.1.3.0-24&fd00:0:0:2::-64"],
  );
});

test("what stands never overlaps, and nobody loses without an older rival that stands", () => {
  const any = fc.record({
    third: fc.integer({ min: 0, max: 7 }),
    length: fc.integer({ min: 20, max: 24 }),
    created: fc.bigInt(1n, 5n),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 12 }), (rows) => {
      const all = leaseMap(
        ...rows.map((row) =>
          lease(
            `10.1.${(row.third << 1) & (0xff << (24 - row.length)) & 0xff}.0-${row.length}`,
            "192.0.2.1",
            row.created,
          ),
        ),
      );
      const settled = settleClaims(all);
      const kept = [...settled.leases.values()];
      const overlap = (a: Lease, b: Lease) =>
        a.subnet !== null && b.subnet !== null && prefixesOverlap(a.subnet, b.subnet);
      for (const a of kept) for (const b of kept) assert.ok(a === b || !overlap(a, b), `${a.key} ${b.key}`);
      for (const { key } of settled.quarantined) {
        const loser = all.get(key);
        assert.ok(
          loser !== undefined &&
            kept.some((winner) => overlap(winner, loser) && winner.createRevision <= loser.createRevision),
          key,
        );
      }
      assert.equal(kept.length + settled.quarantined.length, all.size);
    }),
  );
});

test("settling again after changes gives what settling at once gives, and knows whose addresses are taken", () => {
  const random = new SeededRandom(7);
  const draw = () => {
    const length = 20 + random.below(6);
    const third = random.below(32) & (0xff << (24 - Math.min(24, length)));
    const key = length > 24 ? `10.1.${third}.${random.below(2) * 128}-25` : `10.1.${third}.0-${length}`;
    return lease(key, `192.0.2.${1 + random.below(9)}`, BigInt(1 + random.below(50)));
  };
  const book = new ClaimBook();
  let leases = SharedMap.of<Lease>();
  let disjoint = 0;
  for (let step = 0; step < 600; step++) {
    // Seldom everything at once, mostly one or two; and more go than come, so that there are sets without rivals, too.
    const drawn = Array.from({ length: step % 50 === 0 ? 80 : 1 + random.below(2) }, draw);
    const goes = [...leases.keys()].filter(() => random.below(step % 100 < 50 ? 3 : 20) === 0);
    leases = leases.with([
      ...goes.map((key) => [key, undefined] as const),
      ...drawn.map((one) => [one.key, one] as const),
    ]);
    const [again, afresh] = [book.settle(leases), settleClaims(new Map(leases))];
    const shown = ({ leases: all, quarantined }: typeof again) => ({
      keys: [...all.keys()].sort(),
      quarantined: quarantined.map(({ key, reason }) => `${key} ${reason}`).sort(),
    });
    assert.deepEqual(shown(again), shown(afresh), `step ${step}`);
    assert.equal(book.disjoint, afresh.quarantined.length === 0, `step ${step}`);
    if (!book.disjoint) continue;
    disjoint++;
    const asked = draw();
    const taken = [...leases.values()].some(
      ({ subnet }) => subnet !== null && asked.subnet !== null && prefixesOverlap(subnet, asked.subnet),
    );
    assert.equal(book.isClaimed(asked), taken, `step ${step}: ${asked.key}`);
  }
  assert.ok(disjoint > 50, `${disjoint} sets without rivals`);
});
