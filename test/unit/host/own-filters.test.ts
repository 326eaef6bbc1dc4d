// What `tc` says while devices come and go; test/netns/leftovers.test.ts has the real one.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandResult } from "../../../src/host/command.js";
import { findOwnFilters, removeOwnFilter } from "../../../src/host/own-filters.js";

const GONE: CommandResult = { code: 1, stdout: "", stderr: 'Cannot find device "rso.1"\n' };
const json = (value: unknown): CommandResult => ({ code: 0, stdout: JSON.stringify(value), stderr: "" });
const QDISC = json([{ kind: "clsact", dev: "rso.1" }]);
const FILTER = json([{ kind: "bpf", pref: 158, options: { handle: "0x3", bpf_name: "ripstop" } }]);
const FOUND = { device: "rso.1", side: "ingress", handle: "0x3" } as const;

/** Answers to `tc qdisc show` and so on, by the first two words. */
function tc(answers: Readonly<Record<string, CommandResult>>) {
  return async ([, first = "", second = "", third = ""]: readonly string[]) => {
    const words = first === "-json" ? `${second} ${third}` : `${first} ${second}`;
    return answers[words] ?? assert.fail(words);
  };
}

test("a device that goes while its filters are asked for has none", async () => {
  assert.deepEqual(await findOwnFilters([1], tc({ "qdisc show": QDISC, "filter show": FILTER })), [
    FOUND,
    { ...FOUND, side: "egress" },
  ]);
  assert.deepEqual(await findOwnFilters([1], tc({ "qdisc show": QDISC, "filter show": GONE })), []);
});

test("a filter that goes with its device is removed, and another failure is told", async () => {
  const there = { "qdisc show": QDISC, "filter show": FILTER };
  assert.deepEqual(await removeOwnFilter(FOUND, tc({ ...there, "filter delete": GONE })), []);
  const denied = { ...GONE, stderr: "Operation not permitted" };
  assert.deepEqual(await removeOwnFilter(FOUND, tc({ ...there, "filter delete": denied })), [
    "tc filter on rso.1 ingress: Operation not permitted",
  ]);
  const empty = { "qdisc show": QDISC, "filter show": json([]) };
  assert.deepEqual(await removeOwnFilter(FOUND, tc({ ...empty, "qdisc delete": GONE })), []);
  await assert.rejects(findOwnFilters([1], tc({ "qdisc show": denied })), { code: "TC_FAILED" });
});
