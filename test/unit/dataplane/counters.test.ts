// Counters by name, and the law that every packet is accounted for.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { nameCounters, subtractCounters, unaccounted } from "../../../src/dataplane/counters.js";
import { FakeBinding } from "../../support/fake-binding.js";

const { counterLayout } = new FakeBinding();

function values(changes: Record<string, bigint>): bigint[] {
  for (const name of Object.keys(changes)) assert.ok(counterLayout.includes(name), `${name} is in the layout`);
  return counterLayout.map((name) => changes[name] ?? 0n);
}

test("counters are found by their names, whatever their order", () => {
  const reversed = counterLayout.toReversed();
  const counters = nameCounters(
    reversed,
    reversed.map((name) => (name === "decap.tx_bytes" ? 5n : name === "encap.drop.no_peer" ? 3n : 0n)),
  );
  assert.equal(counters.decap.txBytes, 5n);
  assert.equal(counters.encap.txBytes, 0n);
  assert.deepEqual(counters.encap.drops, { no_peer: 3n, unknown_peer: 0n });
});

test("the law holds when every packet was delivered, punted, answered or dropped", () => {
  const counters = nameCounters(
    counterLayout,
    values({
      "encap.rx_packets": 10n,
      "encap.tx_packets": 4n,
      "encap.punts": 3n,
      "encap.replies": 1n,
      "encap.drop.no_peer": 2n,
      "decap.rx_packets": 6n,
      "decap.tx_packets": 5n,
    }),
  );
  assert.deepEqual(unaccounted(counters), { encap: 0n, decap: 1n, answer: 0n });
});

test("a difference of two readings counts only what happened between", () => {
  const earlier = nameCounters(counterLayout, values({ "encap.rx_packets": 10n, "encap.drop.no_peer": 2n }));
  const later = nameCounters(counterLayout, values({ "encap.rx_packets": 15n, "encap.drop.no_peer": 3n }));
  const between = subtractCounters(later, earlier);
  assert.equal(between.encap.rxPackets, 5n);
  assert.equal(between.encap.drops["no_peer"], 1n);
});

test("an addon without a promised counter is named as being of another build", () => {
  const layout = counterLayout.filter((name) => name !== "decap.replies");
  assert.throws(() => nameCounters(layout, []), { code: "NATIVE_LAYOUT", message: /decap\.replies/ });
});

test("every lane counter of the C++ header is named here", () => {
  const header = readFileSync(new URL("../../../../native/pkt/counters.h", import.meta.url), "utf8");
  const names = [...header.matchAll(/X\(\w+, "(\w+)"\)/g)].map((match) => match[1]).filter((name) => name !== "name");
  assert.ok(names.length >= 9);
  assert.deepEqual(
    names,
    counterLayout.filter((name) => /^encap\.(?!drop)/.test(name)).map((name) => name.slice(6)),
  );
});
