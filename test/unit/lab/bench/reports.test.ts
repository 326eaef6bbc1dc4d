// Everything a report says follows from the result file: medians, ratios, the generator's cost taken off, the claims.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { htmlReport } from "../../../../src/lab/bench/html-report.js";
import { markdownReport } from "../../../../src/lab/bench/markdown-report.js";
import { benchMode } from "../../../../src/lab/bench/modes.js";
import { type BenchResult, type BenchRun, parseResult } from "../../../../src/lab/bench/result.js";
import { claims, cpuPerPacket, figureOf } from "../../../../src/lab/bench/summary.js";
import { textReport } from "../../../../src/lab/bench/text-report.js";

function run(rival: string, workload: string, trial: number, values: Record<string, number>, busy = 1): BenchRun {
  const cpu = { busy, user: busy / 4, system: busy / 2, softirq: busy / 4, steal: 0, seconds: 2 };
  return { rival, workload, trial, values, cpu };
}

const RUNS: readonly BenchRun[] = [1, 2, 3].flatMap((trial) => [
  run("kernel", "tcp-1", trial, { gbps: 10 * trial }),
  run("auto", "tcp-1", trial, { gbps: 7 * trial }),
  run("classic", "tcp-1", trial, { gbps: 1 }),
  run("kernel", "steady", trial, { packets: 100_000 }, 0.8),
  run("auto", "steady", trial, { packets: 100_000 }, 0.9),
  run("null", "steady", trial, { packets: 100_000 }, 0.4),
  {
    ...run("auto", "udp-64-16", trial, { kpps: 100 }),
    curve: [[1000, 0] as [number, number], [2000, 0.2] as [number, number]],
  },
  {
    ...run("kernel", "rr-tcp", trial, { p50: 30 }),
    curve: [[0.5, 30] as [number, number], [0.99, 80] as [number, number]],
  },
]);

const RESULT: BenchResult = {
  schema: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  seconds: 100,
  mode: "quick",
  version: "0.1.0",
  commit: "0123456789ab",
  machine: {
    cpu: "a <fast> one",
    cores: 2,
    memoryMiB: 1024,
    kernel: "6.18",
    hypervisor: true,
    idleGovernor: "menu",
    node: "v20",
    loadAverage: 0.5,
    busyBefore: 0.01,
  },
  trials: 3,
  rivals: ["kernel", "auto", "classic"].map((id) => ({ id, name: `the ${id}`, what: id, carriers: [id, id] })),
  workloads: [
    { id: "udp-64-16", title: "UDP small" },
    { id: "rr-tcp", title: "TCP requests" },
  ],
  checks: [{ what: "payload", detail: "whole" }],
  runs: [...RUNS],
};

describe("a benchmark's summary", () => {
  it("takes medians and quartiles over trials", () => {
    assert.deepEqual(figureOf(RESULT, "kernel", "tcp-1", "gbps"), { median: 20, low: 15, high: 25, count: 3 });
    assert.equal(figureOf(RESULT, "xdp", "tcp-1", "gbps"), null);
  });

  it("takes off what the generator costs on a bare cable", () => {
    const close = (value: number | undefined, wanted: number) => assert.ok(Math.abs((value ?? 0) - wanted) < 1e-9);
    close(cpuPerPacket(RESULT, "kernel")?.median, 8);
    close(cpuPerPacket(RESULT, "auto")?.median, 10);
    close(cpuPerPacket(RESULT, "auto", "system")?.median, 5);
  });

  it("holds claims against their bars, and says what was not measured", () => {
    const byName = new Map(claims(RESULT).map((claim) => [claim.figure, claim]));
    assert.equal(byName.get("TCP 1 stream, auto / kernel VXLAN")?.holds, true);
    assert.equal(byName.get("TCP 1 stream, auto / classic proxy")?.value, 14);
    const cpu = byName.get("CPU a packet at half of kernel VXLAN's rate, auto / kernel VXLAN");
    assert.ok(Math.abs((cpu?.value ?? 0) - 1.25) < 1e-9 && cpu?.holds);
    assert.equal(byName.get("TCP request/response p50, auto / kernel VXLAN")?.holds, null);
    assert.equal(claims({ ...RESULT, runs: [] }).filter((claim) => claim.holds !== null).length, 0);
  });
});

describe("a benchmark's reports", () => {
  it("carry the same figures", () => {
    for (const report of [textReport(RESULT), markdownReport(RESULT), htmlReport(RESULT)]) {
      assert.match(report, /14\.00/);
      assert.match(report, /0123456789ab/);
      assert.match(report, /not measured/);
    }
  });

  it("make a page that needs nothing else and lets no text become markup", () => {
    const page = htmlReport(RESULT);
    assert.doesNotMatch(page, /(src|href)=|<script|url\(/);
    assert.match(page, /a &lt;fast&gt; one/);
    assert.equal((page.match(/<svg/g) ?? []).length, (page.match(/<\/svg>/g) ?? []).length);
    // The published page is linted like any other file, and a plot without a title fails that.
    assert.equal((page.match(/<svg[^>]*><title>[^<]+<\/title>/g) ?? []).length, (page.match(/<svg/g) ?? []).length);
    assert.ok((page.match(/<svg/g) ?? []).length >= 5);
    assert.doesNotMatch(page, /NaN|undefined|Infinity/);
  });

  it("draw a plot of nothing but zeros", () => {
    const lossless: BenchRun = { ...run("kernel", "udp-64-16", 1, { kpps: 1 }), curve: [[1000, 0]] };
    assert.match(htmlReport({ ...RESULT, runs: [lossless] }), /loss against rate/);
  });

  it("survive the way through the file", () => {
    assert.deepEqual(parseResult(JSON.stringify(RESULT), "x.json"), RESULT);
    assert.throws(() => parseResult('{"schema":1}', "x.json"), { code: "BENCH_RESULT_INVALID" });
    assert.throws(() => parseResult("no json", "x.json"), { code: "BENCH_RESULT_INVALID" });
  });
});

describe("the choice of what to measure", () => {
  it("names what there is when asked for what there is not", () => {
    assert.throws(() => benchMode({ quick: true, rivals: ["auto", "calico"] }), /'calico'.*kernel/);
    assert.throws(() => benchMode({ quick: false, workloads: ["sctp"] }), { code: "BENCH_UNKNOWN" });
    assert.deepEqual(
      benchMode({ quick: true, rivals: ["xdp", "kernel"] }).rivals.map(({ id }) => id),
      ["kernel", "xdp"],
    );
  });
});
