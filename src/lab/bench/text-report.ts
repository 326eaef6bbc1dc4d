// The result as text tables for a terminal. Pure.
import { textTable } from "../text-table.js";
import type { BenchResult } from "./result.js";
import { claimRows, figureRows, FIGURES } from "./tables.js";

export function textReport(result: BenchResult): string {
  const parts = [`${result.mode} run, ${result.trials} trials, commit ${result.commit}, medians\n`];
  for (const figure of FIGURES) {
    const rows = figureRows(result, figure);
    if (rows.length > 1) parts.push(`${figure.title}\n${textTable(rows)}`);
  }
  parts.push(`What has to hold\n${textTable(claimRows(result))}`);
  return parts.join("\n");
}
