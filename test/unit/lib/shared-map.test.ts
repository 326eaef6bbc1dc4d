// A shared map holds what an ordinary one holds after the same changes, and two of them differ in what was changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { changesBetween, type MapChange, SharedMap } from "../../../src/lib/shared-map.js";
import { SeededRandom } from "../../support/random.js";

const sorted = <T>(entries: Iterable<T>) => [...entries].sort((a, b) => String(a).localeCompare(String(b)));

test("after any changes it holds what an ordinary map holds, and no earlier one has changed", () => {
  const random = new SeededRandom(1);
  let shared = SharedMap.of<number>();
  const plain = new Map<string, number>();
  const history: (readonly [SharedMap<number>, ReadonlyMap<string, number>])[] = [];
  for (let step = 0; step < 300; step++) {
    const changes: MapChange<number>[] = Array.from({ length: random.below(5) }, () => [
      `10.244.${random.below(40)}.0-24`,
      random.below(3) === 0 ? undefined : random.below(1000),
    ]);
    shared = shared.with(changes);
    for (const [key, value] of changes) {
      if (value === undefined) plain.delete(key);
      else plain.set(key, value);
    }
    history.push([shared, new Map(plain)]);
  }
  for (const [map, wanted] of history) {
    assert.deepEqual(sorted(map), sorted(wanted));
    assert.equal(map.size, wanted.size);
    assert.deepEqual(sorted(map.keys()), sorted(wanted.keys()));
    assert.deepEqual(sorted(map.values()), sorted(wanted.values()));
    for (const [key, value] of wanted) assert.equal(map.get(key), value);
  }
});

test("the difference of two is the same whether they share much, little or nothing", () => {
  const random = new SeededRandom(2);
  const draw = () => new Map(Array.from({ length: 60 }, () => [`k${random.below(90)}`, random.below(4)]));
  for (let round = 0; round < 100; round++) {
    const [before, after] = [draw(), draw()];
    const wanted = sorted(changesBetween(before, after));
    const shared = SharedMap.of(before);
    assert.deepEqual(sorted(changesBetween(shared, shared.become(after))), wanted);
    assert.deepEqual(sorted(changesBetween(shared, SharedMap.of(after))), wanted);
    assert.deepEqual(sorted(changesBetween(shared, after)), wanted);
    assert.deepEqual(sorted(changesBetween(before, shared.become(after))), wanted);
    assert.deepEqual(sorted(shared.become(after)), sorted(after));
  }
});

test("a change that changes nothing gives the same map", () => {
  const map = SharedMap.of(new Map([["a", 1]]));
  assert.equal(
    map.with([
      ["a", 1],
      ["b", undefined],
    ]),
    map,
  );
  assert.equal(map.become(new Map([["a", 1]])), map);
  assert.equal(SharedMap.of(map), map);
  assert.deepEqual(changesBetween(map, map), []);
});

test("keys that differ in little are spread over the parts", () => {
  const keys = Array.from(
    { length: 5_000 },
    (_, i) => `/coreos.com/network/subnets/10.${100 + (i >> 8)}.${i & 255}.0-24`,
  );
  const map = SharedMap.of(keys.map((key) => [key, key] as const));
  const touched = SharedMap.unshared(map, map.with([[keys[77] ?? "", undefined]])) ?? [];
  assert.equal(touched.length, 1);
  assert.ok((touched[0]?.[0]?.size ?? 0) < 80, `${touched[0]?.[0]?.size} of 5,000 in one part`);
});
