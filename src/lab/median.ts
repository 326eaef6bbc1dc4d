// What repeated measurements say together: the middle, and how far they lie apart. Pure.

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between neighbours by their distance; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}
