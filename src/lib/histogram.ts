// Counts of values by size, as Prometheus' histograms have them. One writer; whoever reads gets a copy.

export interface HistogramReading {
  /** Upper bounds, ascending; a last bucket for everything above stands beyond them. */
  readonly bounds: readonly number[];
  /** One more than bounds; each value is in one of them only. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const at = this.#bounds.findIndex((bound) => value <= bound);
    const bucket = at < 0 ? this.#bounds.length : at;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  get reading(): HistogramReading {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}

/** Of two histograms with the same bounds. */
export function addReadings(a: HistogramReading, b: HistogramReading): HistogramReading {
  return { bounds: a.bounds, counts: a.counts.map((count, at) => count + (b.counts[at] ?? 0)), sum: a.sum + b.sum };
}
