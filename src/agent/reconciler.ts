// Keeps the kernel as the leases say. One loop, never two passes at once; a pass after a change of leases touches the changed
// peers only. Everything is compared when something is found that is not as it shall be, and now and then all the same. How
// often that may be follows from what it costs, so that a large cluster does not keep the agent busy.
import type { Overlay, RefusedPeer } from "../backend/backend.js";
import type { PeerTable } from "../dataplane/peer-table.js";
import type { HostFailure, ReconcileReport } from "../host/host.js";
import type { Lease } from "../lease/lease.js";
import { Backoff } from "../lib/backoff.js";
import type { Clock } from "../lib/clock.js";
import { Histogram } from "../lib/histogram.js";
import { Trigger } from "../lib/trigger.js";
import type { Logger } from "../observe/logger.js";

/** Changes that come together are applied together. */
const PACE_MS = 15;
/** Kernel events come in bursts; between two comparisons this, or so many times what one costs, but never more than a while:
 * on a busy machine one that costs little takes long. */
const DISTRUST_MS = 50;
const DISTRUST_COSTS = 10;
const DISTRUST_MAX_MS = 2_000;
/** What was seen to be broken is repaired within a second, however long the last comparison took. */
const DRIFT_MS_MAX = 500;
/** Without any event. */
const PERIOD_MIN_MS = 10_000;
const PERIOD_MAX_MS = 60_000;
const PERIOD_COSTS = 500;
/** A comparison that only the clock asks for waits for a pause in the changes, though not for ever. */
const QUIET_MS = 500;
const QUIET_WAIT_MAX_MS = 60_000;
/** A pass fails where a device is just being made again, or for long: soon, then ever later. */
const RETRY = { initialMs: 50, maxMs: 500 };

/** Bounds of the histogram: a pass for one changed peer takes a millisecond, a comparison of 5,000 half a second. */
export const PASS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What the last passes found, for status. */
export interface ReconcilerReport {
  readonly table: PeerTable | null;
  readonly refused: readonly RefusedPeer[];
  readonly contested: readonly RefusedPeer[];
  readonly failures: readonly HostFailure[];
  /** Why the last pass failed as a whole; null when it did not. */
  readonly error: string | null;
}

export interface ReconcilerOptions {
  readonly overlay: Overlay;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told after each pass; `compared`: everything was looked at. */
  readonly applied: (table: PeerTable, compared: boolean) => Promise<void>;
}

export class Reconciler {
  report: ReconcilerReport = { table: null, refused: [], contested: [], failures: [], error: null };
  /** What the passes that ended took, in seconds. */
  readonly durations = new Histogram(PASS_SECONDS);
  readonly #given: ReconcilerOptions;
  readonly #trigger: Trigger;
  #leases: ReadonlyMap<string, Lease>;
  #quarantined: readonly RefusedPeer[] = [];
  /** The leases that the last pass applied. */
  #passed: ReadonlyMap<string, Lease> | null = null;
  readonly #retry = new Backoff(RETRY);
  #distrusted = true;
  #broken = false;
  #comparedAtMs = 0;
  #mayCompareAtMs = 0;
  #mustCompareAtMs = 0;
  #changedAtMs = Number.NEGATIVE_INFINITY;

  constructor(given: ReconcilerOptions, leases: ReadonlyMap<string, Lease>) {
    this.#given = given;
    this.#leases = leases;
    this.#trigger = new Trigger(given.clock);
  }

  /** The leases of all nodes, which claim different addresses, and the records that make none. */
  update(leases: ReadonlyMap<string, Lease>, quarantined: readonly RefusedPeer[]): void {
    this.#leases = leases;
    this.#quarantined = quarantined;
    this.#changedAtMs = this.#given.clock.nowMs();
    this.#trigger.kick();
  }

  /** Something may not be as it shall be: compares everything soon. `broken`: it surely is not. */
  distrust(broken: boolean): void {
    if (this.#distrusted && (this.#broken || !broken)) return;
    this.#distrusted = true;
    this.#broken ||= broken;
    this.#trigger.kick();
  }

  /** The first pass; rejects with what the kernel refused as a whole. */
  start(): Promise<void> {
    return this.#pass(true);
  }

  /** Until the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#given;
    while (!signal.aborted) {
      await this.#trigger.wait(Math.max(0, this.#compareAtMs - clock.nowMs()), signal);
      if (signal.aborted) return;
      const compare = clock.nowMs() >= this.#compareAtMs;
      if (!compare && this.#leases === this.#passed) continue;
      try {
        await this.#pass(compare);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== this.report.error) logger.warn("cannot program the host; trying again", { error });
        this.report = { ...this.report, error: reason };
        this.#distrusted = true;
        this.#comparedAtMs = clock.nowMs();
        this.#mayCompareAtMs = this.#comparedAtMs + this.#retry.nextMs();
        this.#passed = this.#leases;
      }
      await clock.sleep(PACE_MS, signal);
    }
  }

  get #compareAtMs(): number {
    if (this.#distrusted)
      return this.#broken ? Math.min(this.#mayCompareAtMs, this.#comparedAtMs + DRIFT_MS_MAX) : this.#mayCompareAtMs;
    const must = this.#mustCompareAtMs;
    return Math.min(Math.max(must, this.#changedAtMs + QUIET_MS), must + QUIET_WAIT_MAX_MS);
  }

  async #pass(compare: boolean): Promise<void> {
    const { overlay, clock, applied } = this.#given;
    const startMs = clock.nowMs();
    // Cleared first: what is noticed while the pass runs is for the next one.
    if (compare) this.#distrusted = this.#broken = false;
    const leases = this.#leases;
    const quarantined = this.#quarantined;
    const desired = await overlay.peers(leases, 0n, compare ? "afresh" : "remembered");
    const { table, contested = [] } = desired;
    const refused = quarantined.length === 0 ? desired.refused : [...quarantined, ...desired.refused];
    const report = await overlay.reconcile(table, compare ? null : this.report.table);
    this.#tell(refused, contested, report);
    // What a small pass could not make is looked into by a comparison, which says what is in the way.
    if (!compare && report.failures.length > 0) this.#distrusted = true;
    const failures = compare ? report.failures : [...this.report.failures, ...report.failures];
    this.report = { table, refused, contested, failures, error: null };
    this.#passed = leases;
    this.#retry.reset();
    if (compare) this.#schedule(clock.nowMs(), clock.nowMs() - startMs);
    this.durations.observe((clock.nowMs() - startMs) / 1000);
    await applied(table, compare);
  }

  #schedule(nowMs: number, costMs: number): void {
    this.#comparedAtMs = nowMs;
    this.#mayCompareAtMs = nowMs + Math.min(DISTRUST_MAX_MS, Math.max(DISTRUST_MS, costMs * DISTRUST_COSTS));
    this.#mustCompareAtMs = nowMs + Math.min(PERIOD_MAX_MS, Math.max(PERIOD_MIN_MS, costMs * PERIOD_COSTS));
  }

  #tell(
    refused: readonly RefusedPeer[],
    contested: readonly RefusedPeer[],
    { changes, failures }: ReconcileReport,
  ): void {
    const { logger } = this.#given;
    const examples = changes.slice(0, 5).map(({ object, action }) => `${action} ${object}`);
    if (changes.length > 0) logger.info("programmed the host", { changes: changes.length, detail: examples });
    const said = ({ key, reason }: RefusedPeer) => `${key} ${reason}`;
    for (const { key, reason } of news(refused, this.report.refused, said)) {
      logger.warn("a lease cannot be used", { key, reason });
    }
    for (const { key, reason } of news(contested, this.report.contested, said)) {
      logger.warn("a lease claims what another one has", { key, reason });
    }
    const known = ({ object, message }: HostFailure) => `${object} ${message}`;
    for (const { object, message } of news(failures, this.report.failures, known)) {
      logger.warn("a kernel object cannot be made", { detail: object, reason: message });
    }
  }
}

/** What was not there before. */
function news<T>(now: readonly T[], before: readonly T[], name: (item: T) => string): readonly T[] {
  if (now.length === 0) return now;
  const known = new Set(before.map(name));
  return now.filter((item) => !known.has(name(item)));
}
