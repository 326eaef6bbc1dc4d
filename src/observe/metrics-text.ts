// Prometheus' text format (version 0.0.4), written by hand: a scrape is some hundred lines, and a library costs more at 5,000
// series than all the rest (docs/decisions/0110-own-metrics-text.md). Pure: values in, text out.

import type { HistogramReading } from "../lib/histogram.js";

export type Labels = Readonly<Record<string, string>>;
export type MetricKind = "counter" | "gauge" | "histogram";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export class MetricsText {
  #text = "";

  /** One family with its samples; a sample without a value (null) is left out. */
  family(
    name: string,
    kind: MetricKind,
    help: string,
    samples: Iterable<readonly [value: number | bigint | null, labels?: Labels]>,
  ): this {
    let lines = "";
    for (const [value, labels] of samples)
      if (value !== null) lines += `${name}${labelText(labels)} ${numberText(value)}\n`;
    if (lines !== "") this.#text += `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines}`;
    return this;
  }

  /** One histogram without labels. */
  histogram(name: string, help: string, { bounds, counts, sum }: HistogramReading): this {
    let lines = "";
    let total = 0;
    for (const [at, count] of counts.entries()) {
      total += count;
      lines += `${name}_bucket{le="${numberText(bounds[at] ?? Number.POSITIVE_INFINITY)}"} ${total}\n`;
    }
    this.#text += `# HELP ${name} ${help}\n# TYPE ${name} histogram\n${lines}${name}_sum ${numberText(sum)}\n${name}_count ${total}\n`;
    return this;
  }

  toString(): string {
    return this.#text;
  }
}

function labelText(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function numberText(value: number | bigint): string {
  if (typeof value === "bigint") return value.toString();
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
