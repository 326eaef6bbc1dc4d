// What is shipped beside the programs, checked by the tools that will read it: systemd's verifier, promtool.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { METRICS } from "../../src/agent/metrics-page.js";

const packaging = fileURLToPath(new URL("../../../packaging/", import.meta.url));
const ALERTS = "prometheus/ripstop-alerts.yaml";
const read = (name: string) => readFileSync(join(packaging, name), "utf8");
const promtool = (...args: string[]) => execFileSync("promtool", args, { cwd: packaging, encoding: "utf8" });

/** Names of ours in a query. */
function unknownMetrics(text: string): string[] {
  const known = new Set(
    Object.entries(METRICS).flatMap(([name, [kind]]) =>
      (kind === "histogram" ? ["_bucket", "_sum", "_count"] : [""]).map((suffix) => `ripstop_${name}${suffix}`),
    ),
  );
  return [...text.matchAll(/\bripstop_[a-z_]+/g)].map(([name]) => name).filter((name) => !known.has(name));
}

function withFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-packaging-"));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("promtool accepts the alert rules, and they fire when they must and only then", () => {
  assert.match(promtool("check", "rules", ALERTS), /SUCCESS: \d+ rules found/);
  assert.match(promtool("test", "rules", "prometheus/ripstop-alerts.test.yaml"), /SUCCESS/);
  assert.deepEqual(unknownMetrics(read(ALERTS)), []);
  for (const rule of read(ALERTS).split("- alert:").slice(1)) assert.match(rule, /summary: .*\n +runbook: "/);
});

test("every panel of the dashboard asks a query that Prometheus understands, of metrics that there are", () => {
  const board = JSON.parse(read("grafana/ripstop-dashboard.json")) as {
    readonly panels: ReadonlyArray<{
      readonly title: string;
      readonly targets: ReadonlyArray<{ readonly expr: string }>;
    }>;
  };
  const queries = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  assert.ok(queries.length >= 10);
  assert.deepEqual(queries.flatMap(unknownMetrics), []);
  withFolder((folder) => {
    const rules = queries.map((expr, at) => ({ record: `q${at}`, expr: expr.replaceAll("$__rate_interval", "5m") }));
    writeFileSync(join(folder, "rules.json"), JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
    assert.match(promtool("check", "rules", join(folder, "rules.json")), /SUCCESS/);
  });
});

test("systemd accepts the unit", (t) => {
  if (spawnSync("systemd-analyze", ["--version"]).error !== undefined) {
    t.skip("no systemd-analyze on this machine");
    return;
  }
  withFolder((folder) => {
    // The verifier wants the program to be there.
    const unit = read("systemd/ripstop.service")
      .replace("/usr/bin/ripstop", "/bin/true")
      .replace(/^Documentation=.*$/m, "");
    writeFileSync(join(folder, "ripstop.service"), unit);
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", join(folder, "ripstop.service")], {
      encoding: "utf8",
    });
    assert.equal(`${stdout}${stderr}`.replace(/^.*(?:\/usr\/lib|\/lib|\/etc)\/systemd.*$\n/gm, ""), "");
    assert.equal(status, 0);
  });
});
