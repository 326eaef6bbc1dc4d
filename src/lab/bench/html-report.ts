// The result as one page that needs nothing else: tables and plots, made from the JSON alone. Pure.
import type { BenchResult, BenchRun } from "./result.js";
import { type Bar, barPlot, escapeMarkup, legend, type Line, linePlot } from "./plot.js";
import { conditions, METHOD } from "./prose.js";
import { cpuPerPacket } from "./summary.js";
import { claimRows, type Figure, figureRows, FIGURES } from "./tables.js";

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;padding:0 1em;color:#111}
table{border-collapse:collapse;font-size:13px;margin:.5em 0}td,th{border:1px solid #d1d5db;padding:2px 8px;text-align:right}
td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;font:12px system-ui,sans-serif}
.legend span{margin-right:1em;white-space:nowrap}.legend i{display:inline-block;width:.9em;height:.9em;margin-right:.3em}
h2{margin-top:2em;border-top:1px solid #d1d5db;padding-top:.6em}.scroll{overflow-x:auto}`;

export function htmlReport(result: BenchResult): string {
  const parts = [
    `<h1>Ripstop against its rivals</h1>`,
    `<ul>${conditions(result)
      .map((line) => `<li>${escapeMarkup(line)}</li>`)
      .join("")}</ul>`,
    `<h2>What has to hold</h2>${table(claimRows(result))}`,
    ...FIGURES.map((figure) => figureSection(result, figure)),
    cpuSection(result),
    ...result.workloads.map(({ id, title }) => curveSection(result, id, title)),
    `<h2>Rivals</h2>${table([["rival", "what", "carried by"], ...result.rivals.map(({ name, what, carriers }) => [name, what, [...new Set(carriers)].join("; ")])])}`,
    `<h2>Checked before any figure</h2>${table([["check", "outcome"], ...result.checks.map(({ what, detail }) => [what, detail])])}`,
    `<h2>Method</h2><ul>${METHOD.map((line) => `<li>${escapeMarkup(line)}</li>`).join("")}</ul>`,
  ];
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Ripstop benchmarks</title><style>${STYLE}</style></head><body>\n${parts.filter((part) => part !== "").join("\n")}\n</body></html>\n`;
}

function table(rows: readonly (readonly string[])[]): string {
  const [heading = [], ...body] = rows;
  const line = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeMarkup(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table>${line("th", heading)}${body.map((row) => line("td", row)).join("")}</table></div>`;
}

function figureSection(result: BenchResult, figure: Figure): string {
  const rows = figureRows(result, figure, true);
  if (rows.length === 0) return "";
  const first = figure.columns.find(({ workload }) =>
    result.rivals.some(({ id }) => figure.of(result, id, workload) !== null),
  );
  const bars = result.rivals.flatMap(({ id, name }): Bar[] => {
    const spread = first === undefined ? null : figure.of(result, id, first.workload);
    return spread === null ? [] : [{ label: name, parts: [spread.median], low: spread.low, high: spread.high }];
  });
  const caption = figure.columns.length > 1 ? `<p>${escapeMarkup(first?.heading ?? "")}:</p>` : "";
  return `<h2>${escapeMarkup(figure.title)}</h2>${caption}${barPlot(figure.title, bars, figure.unit, figure.digits)}${table(rows)}`;
}

/** Where the time of a packet goes. */
function cpuSection(result: BenchResult): string {
  const names = ["user", "system", "softirq"] as const;
  const bars = result.rivals.flatMap(({ id, name }): Bar[] => {
    const parts = names.map((part) => cpuPerPacket(result, id, part)?.median);
    return parts.every((part) => part !== undefined) ? [{ label: name, parts }] : [];
  });
  if (bars.length === 0) return "";
  const heading = "Where the CPU time of a packet goes";
  return `<h2>${heading}</h2>${legend(names)}${barPlot(heading, bars, "us", 2)}`;
}

/** Loss over rate for searches, latency over share for requests; all trials of a rival together. */
function curveSection(result: BenchResult, workload: string, title: string): string {
  const ofRival = (rival: string): BenchRun[] =>
    result.runs.filter((run) => run.workload === workload && run.rival === rival && run.curve !== undefined);
  const latency = workload.startsWith("rr-");
  const lines = result.rivals.map(({ id, name }): Line => {
    const points = ofRival(id).flatMap((run) => run.curve ?? []);
    return {
      label: name,
      points: latency ? middle(points) : points.map(([rate, loss]) => [rate, loss * 100] as const),
    };
  });
  const drawn = lines.map((line) => ({ ...line, points: line.points.toSorted((a, b) => a[0] - b[0]) }));
  if (drawn.every((line) => line.points.length === 0)) return "";
  const heading = `${title}: ${latency ? "how long it took" : "loss against rate"}`;
  const plot = latency
    ? linePlot(
        heading,
        drawn.map((line) => ({ ...line, points: line.points.map(([share, us]) => [1 / (1 - share), us] as const) })),
        { x: "1 of so many requests took longer", y: "microseconds", logX: true, logY: true },
      )
    : linePlot(heading, drawn, { x: "packets a second", y: "lost, %", logX: false });
  return `<h2>${escapeMarkup(heading)}</h2>${plot}`;
}

/** The median of all trials at each share. */
function middle(points: readonly (readonly [number, number])[]): Array<readonly [number, number]> {
  const byShare = new Map<number, number[]>();
  for (const [share, us] of points) byShare.set(share, [...(byShare.get(share) ?? []), us]);
  return [...byShare].map(([share, all]) => [share, all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0] as const);
}
