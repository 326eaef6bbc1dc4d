// Which rate to try next when the highest rate with little loss is wanted: up in steps while it holds, then halving the
// distance, then down until nothing is lost. Pure: the caller sends and reports.

export interface RatePoint {
  /** Packets a second that were asked for, that the sender managed, and that arrived. */
  readonly asked: number;
  readonly offered: number;
  readonly delivered: number;
  readonly sent: number;
  readonly lost: number;
}

export interface RateSearchOptions {
  readonly start: number;
  /** The search ends when the lowest failing rate is so close to the highest good one. */
  readonly width?: number;
  readonly probesMax?: number;
}

const LITTLE = 0.005;
/** A sender that falls this far behind what it was asked is itself the limit. */
const BEHIND = 0.95;
const STEP = 1.4;
const RATE_MIN = 1000;
const RATE_MAX = 20_000_000;
const ZERO_STEPS = [0.9, 0.75, 0.6, 0.4] as const;

export class RateSearch {
  readonly #width: number;
  readonly #probesMax: number;
  readonly #points: RatePoint[] = [];
  #low = 0;
  #high = Number.POSITIVE_INFINITY;
  #zeroSteps = 0;
  #behind = 0;
  #next: number;

  constructor(options: RateSearchOptions) {
    this.#next = options.start;
    this.#width = options.width ?? 1.06;
    this.#probesMax = options.probesMax ?? 12;
  }

  get points(): readonly RatePoint[] {
    return this.#points;
  }

  /** The rate to try; null when the search is over. */
  next(): number | null {
    if (this.#points.length >= this.#probesMax) return null;
    return Number.isNaN(this.#next) ? null : Math.round(this.#next);
  }

  report(point: RatePoint): void {
    this.#points.push(point);
    const good = lossOf(point) <= LITTLE;
    if (good) this.#low = Math.max(this.#low, point.offered);
    if (!good) this.#high = Math.min(this.#high, Math.max(point.asked, this.#low));
    // Once may be a hiccup of the machine; twice is the sender's own limit, and there is nothing above it to find.
    const behind = good && point.offered < BEHIND * point.asked;
    if (behind) this.#high = ++this.#behind > 1 ? this.#low : Math.min(this.#high, Math.max(point.asked, this.#low));
    this.#next = this.#choose();
  }

  /** Packets a second that arrived at the best rate with at most half a percent lost; 0 when there was none. */
  get littleLoss(): number {
    return highest(this.#points.filter((point) => lossOf(point) <= LITTLE));
  }

  get noLoss(): number {
    return highest(this.#points.filter((point) => point.lost === 0));
  }

  #choose(): number {
    if (this.#high === Number.POSITIVE_INFINITY) {
      const up = this.#low * STEP;
      return up > RATE_MAX ? Number.NaN : up;
    }
    if (this.#low === 0) {
      const down = this.#high / STEP;
      return down < RATE_MIN ? Number.NaN : down;
    }
    if (this.#high / this.#low > this.#width) return Math.sqrt(this.#high * this.#low);
    if (this.noLoss > 0.85 * this.#low) return Number.NaN;
    const share = ZERO_STEPS[this.#zeroSteps++];
    const rate = share === undefined ? Number.NaN : share * this.#low;
    return rate > this.noLoss && rate >= RATE_MIN ? rate : Number.NaN;
  }
}

export function lossOf(point: RatePoint): number {
  return point.sent === 0 ? 1 : point.lost / point.sent;
}

function highest(points: readonly RatePoint[]): number {
  return points.reduce((best, point) => Math.max(best, point.delivered), 0);
}
