// Text tables for people: columns as wide as their widest cell, the first column to the left, numbers to the right.

/** "-" stands for a missing one. */
const NUMBER = /^(-|\d+(\.\d+)?( %)?)$/;

export function textTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const numeric = widths.map((_, at) => at > 0 && rows.slice(1).every((row) => NUMBER.test(row[at] ?? "")));
  const cell = (text: string, at: number): string =>
    numeric[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0);
  return rows.map((row) => `${row.map(cell).join("  ").trimEnd()}\n`).join("");
}
