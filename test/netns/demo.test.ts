// The demo as a user sees it, with one round: every claim it prints has to have been seen, and nothing stays behind.
// Alone: it measures throughput.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runDemo } from "../../src/lab/demo/demo.js";
import { namespaceNames } from "../../src/lab/namespace.js";
import { labFolder, rootNeeded, testPrefix } from "../support/lab.js";

test("the demo shows leases, three measured and proven paths and a crash, and cleans up", {
  skip: rootNeeded,
}, async () => {
  const directory = await labFolder();
  const lines: string[] = [];
  const out = (text: string) => lines.push(...text.split("\n"));
  const signal = new AbortController().signal;
  const report = () => undefined;
  const good = await runDemo({ directory, prefix: testPrefix, keep: false, rounds: 1, out, report, signal });
  assert.ok(good, lines.join("\n"));
  const rows = lines.filter((line) => /^(kernel VXLAN|ripstop, auto|ripstop, AF_XDP port) /.test(line));
  assert.equal(rows.length, 6, lines.join("\n"));
  const proven = rows.filter((row) => /5000 +5000 .* (yes|shared)$/.test(row));
  assert.equal(proven.length, 3, lines.join("\n"));
  assert.match(proven[0] ?? "", /^kernel VXLAN .* yes$/);
  assert.match(lines.join("\n"), /killed: \d+ of 2000 pings 1 ms apart lost, largest gap \d+ ms/);
  assert.equal(existsSync(directory), false);
  assert.deepEqual(
    [...(await namespaceNames())].filter((name) => name.startsWith(testPrefix)),
    [],
  );
  await rm(join(directory, ".."), { recursive: true });
});

test("an interrupted demo cleans up as well", { skip: rootNeeded }, async () => {
  const directory = await labFolder();
  const stop = new AbortController();
  const out = () => stop.abort();
  const options = {
    directory,
    prefix: testPrefix,
    keep: false,
    rounds: 1,
    out,
    report: () => undefined,
    signal: stop.signal,
  };
  await assert.rejects(runDemo(options), { name: "AbortError" });
  assert.equal(existsSync(directory), false);
  assert.deepEqual(
    [...(await namespaceNames())].filter((name) => name.startsWith(testPrefix)),
    [],
  );
  await rm(join(directory, ".."), { recursive: true });
});
