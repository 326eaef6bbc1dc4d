// Log lines as a program reads them.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { RipstopError } from "../../../src/lib/errors.js";
import { createLogger, levelOfVerbosity } from "../../../src/observe/logger.js";

const root = mkdtempSync(join(tmpdir(), "ripstop-log-"));
after(() => rmSync(root, { recursive: true }));

test("klog verbosity maps to levels", () => {
  assert.deepEqual([0, 1, 3, 4, 10].map(levelOfVerbosity), ["info", "debug", "debug", "trace", "trace"]);
});

test("a line is JSON with level, part, message and the error's code but no stack", () => {
  const file = join(root, "a.log");
  const logger = createLogger({ level: "info", destination: file }).part("agent");
  logger.debug("not written");
  logger.warn("lease lost", {
    lease: "10.244.1.0/24",
    error: new RipstopError("LEASE_LOST", "gone; wait", { errno: 2 }),
  });
  const lines = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines.length, 1);
  const { time, pid, ...rest } = lines[0] as Record<string, unknown>;
  assert.ok(typeof time === "string" && pid === process.pid);
  assert.deepEqual(rest, {
    level: "warn",
    part: "agent",
    lease: "10.244.1.0/24",
    error: { code: "LEASE_LOST", message: "gone; wait", errno: -2 },
    msg: "lease lost",
  });
});
