// The demo's one table: medians of all rounds, and ratios against kernel VXLAN in the same run. Pure.
import { median } from "../median.js";
import { textTable } from "../text-table.js";
import { type Measurement, UDP_RATE, UDP_SIZE } from "./measure.js";
import { type DemoPath, KERNEL } from "./paths.js";

export type Results = ReadonlyMap<DemoPath, readonly Measurement[]>;

export function medianOf(results: Results, path: DemoPath, field: keyof Measurement): number {
  return median((results.get(path) ?? []).map((measurement) => measurement[field]));
}

export function resultsTable(results: Results): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const header = [
    "path",
    "TCP Gb/s",
    "ratio",
    `${UDP_SIZE} B UDP kpps, flooded`,
    "ratio",
    "lost",
    `cores at ${UDP_RATE / 1000} kpps`,
    "lost",
    "ping us",
  ];
  const rows = [...results.keys()].map((path) => {
    const value = (field: keyof Measurement): number => medianOf(results, path, field);
    const ratio = (field: keyof Measurement): string => (value(field) / medianOf(results, KERNEL, field)).toFixed(2);
    return [
      path.name,
      value("tcpGbps").toFixed(2),
      ratio("tcpGbps"),
      value("floodKpps").toFixed(0),
      ratio("floodKpps"),
      percent(value("floodLossShare")),
      value("pacedCores").toFixed(2),
      percent(value("pacedLossShare")),
      value("pingUs").toFixed(0),
    ];
  });
  return textTable([header, ...rows]);
}
