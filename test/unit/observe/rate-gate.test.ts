// The log's rate: a burst passes, a flood does not, and nobody is left in the dark about what is missing.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogger } from "../../../src/observe/logger.js";
import { RateGate } from "../../../src/observe/rate-gate.js";

test("a burst passes, then a trickle, and what was left out is counted", () => {
  let now = 0;
  const gate = new RateGate(() => now);
  const flood = () => Array.from({ length: 10_000 }, () => gate.pass()).filter((passed) => passed).length;
  assert.equal(flood(), 400);
  assert.equal(gate.suppressed, 9_600);
  assert.equal(gate.takePending(), 9_600);
  now = 1_000;
  assert.equal(flood(), 20);
  now = 3_600_000;
  assert.equal(flood(), 400);
  assert.equal(gate.takePending(), 19_580);
});

test("a flood of lines leaves a log that fits and says what is missing; levels follow at once in all parts", () => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-log-"));
  try {
    const destination = join(folder, "log");
    const logger = createLogger({ level: "info", destination });
    const part = logger.part("store");
    part.debug("not wanted");
    logger.setLevel("debug");
    part.debug("wanted");
    logger.setLevel("info");
    part.debug("not wanted");
    for (let at = 0; at < 5_000; at++) part.warn("bad record", { count: at });
    const lines = readFileSync(destination, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { msg: string });
    assert.equal(lines[0]?.msg, "wanted");
    assert.ok(lines.length < 500, `${lines.length} lines`);
    assert.ok(lines.every(({ msg }) => msg !== "not wanted"));
    assert.ok(logger.suppressed > 4_400);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
