// Keeps the data-plane process as the agent wants it: adopts one that already runs with the wanted options, starts one
// otherwise, hands it the newest table, replaces it when version, options or devices are others (succession.ts), starts it
// again after a crash, kills it when it hangs. Level-triggered: one function compares wanted and actual; changes, hang-ups and a tick only say when. Never stops a healthy data plane when
// the agent ends. While there is none, the kernel path carries everything.
import type { DataplaneClient } from "../dataplane/client.js";
import type { Inspection, OpenOptions } from "../dataplane/binding.js";
import { sameOpenOptions } from "../dataplane/options.js";
import { Backoff } from "../lib/backoff.js";
import type { Clock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { Latest } from "../lib/latest.js";
import { ripstopVersion } from "../lib/version.js";
import type { Logger } from "../observe/logger.js";
import { type Controlled, DataplanePair } from "./dataplane-pair.js";
import type { Launcher } from "./dataplane-process.js";
import { succeed, SuccessionFailed } from "./succession.js";

export interface DataplaneState {
  /** `unavailable`: it runs but cannot open; `waiting`: it died or does not answer. In both the kernel path carries. */
  readonly phase: "starting" | "running" | "unavailable" | "waiting";
  readonly reason: string | null;
  readonly pid: number | null;
  /** Version of Ripstop in that process. */
  readonly version: string | null;
  readonly adopted: boolean;
  readonly restarts: number;
}

/** The data plane's last words, and how old they are. */
export interface Heard {
  readonly ageMs: number;
  readonly inspection: Inspection;
}

export interface SupervisorOptions {
  readonly socketPath: string;
  readonly launch: Launcher;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A call that takes longer counts as silence. */
  readonly deadlineMs?: number;
  /** Silence for this long means hung: the process is killed and started again. */
  readonly hangMs?: number;
}

export interface DesiredDataplane {
  readonly options: OpenOptions;
  /** The devices it is opened on, as they are now; another one means: open again. */
  readonly incarnation: string;
  /** In the flat form of codec.ts; null: no table yet. */
  readonly table: Uint8Array | null;
}

const DEADLINE_MS = 1_000;
const HANG_MS = 10_000;
const TICK_MS = 1_000;
/** A process that lived this long, and so many times as long as it was waited for, did not crash at once. */
const STABLE_MS = 1_000;
const STABLE_SHARE = 10;
const NEVER = new AbortController().signal;

export class Supervisor {
  readonly state = new Latest<DataplaneState>();
  readonly #given: SupervisorOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #pair: DataplanePair;
  readonly #backoff = new Backoff({ initialMs: 100, maxMs: 30_000 });
  readonly #upgradeBackoff = new Backoff({ initialMs: 5_000, maxMs: 300_000 });
  #desired: DesiredDataplane;
  /** The newest of the wishes. */
  readonly #tables = new Latest<Uint8Array | null>();
  #client: DataplaneClient | null = null;
  #opened: Pick<DesiredDataplane, "options" | "incarnation"> | null = null;
  /** It has given up what opening needs. */
  #confined = false;
  #applied: Uint8Array | null = null;
  #refused: string | null = null;
  /** Why the data plane still is of another version. */
  #outdated: string | null = null;
  #upgradeAtMs = 0;
  #lookedAt: DataplaneClient | null = null;
  #silentSince: number | null = null;
  #runningSince = 0;
  #delayMs = 0;
  #heard: { readonly atMs: number; readonly inspection: Inspection } | null = null;
  #hasRun = false;
  #wake: () => void = () => {};

  constructor(options: SupervisorOptions, desired: DesiredDataplane) {
    this.#given = options;
    this.#logger = options.logger.part("supervisor");
    this.#clock = options.clock;
    const { socketPath, launch, clock, deadlineMs = DEADLINE_MS } = options;
    const onStart = (pid: number) => this.#started(pid);
    this.#pair = new DataplanePair({ socketPath, launch, clock, logger: this.#logger, deadlineMs, onStart });
    this.#desired = desired;
    this.#tables.set(desired.table);
    ripstopVersion(); // Which this process is, whatever is installed over it later.
    this.state.set({ phase: "starting", reason: null, pid: null, version: null, adopted: false, restarts: 0 });
  }

  /** Null when there is no data plane that has ever answered. */
  get heard(): Heard | null {
    if (this.#heard === null) return null;
    return { ageMs: this.#clock.nowMs() - this.#heard.atMs, inspection: this.#heard.inspection };
  }

  /** Cheap: remembers the newest wish and wakes the loop. */
  want(desired: DesiredDataplane): void {
    this.#desired = desired;
    this.#tables.set(desired.table);
    this.#wake();
  }

  /** The first time; rejects with the reason. For `--dataplane=userspace`, where starting without is an error. */
  async start(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.#converge(signal);
      } catch (error) {
        // A process from an earlier life that hangs is killed in the end; everything else is the operator's.
        if (signal.aborted || !isCode(error, "DATAPLANE_SILENT")) throw error;
        await this.#clock.sleep(TICK_MS, signal);
      }
    }
  }

  /** Keeps converging; never rejects. With `leave` the data plane goes on, with `retire` it is ended. */
  async run(leave: AbortSignal, retire: AbortSignal = NEVER): Promise<void> {
    const signal = AbortSignal.any([leave, retire]);
    while (!signal.aborted) {
      const wanted = this.#desired;
      const changed = () => this.#desired !== wanted;
      try {
        await this.#converge(signal);
        await this.#pause(TICK_MS, signal, () => changed() || this.#client === null);
        if (this.#client !== null || signal.aborted) continue;
        throw new RipstopError("DATAPLANE_GONE", "the data-plane process went away; it is started again");
      } catch (error) {
        if (signal.aborted) break;
        const wait = isCode(error, "DATAPLANE_SILENT") ? TICK_MS : this.#restartDelay();
        this.#note(error);
        await this.#pause(wait, signal, changed);
      }
    }
    if (retire.aborted && !leave.aborted) return this.shutdown();
    this.#client?.disconnect();
  }

  /** Short after a life that was long in proportion, so that restarts cost a tenth of the time at most. */
  #restartDelay(): number {
    const lived = this.state.current?.phase === "running" ? this.#clock.nowMs() - this.#runningSince : 0;
    if (lived >= Math.max(STABLE_MS, STABLE_SHARE * this.#delayMs)) this.#backoff.reset();
    this.#delayMs = this.#backoff.nextMs();
    return this.#delayMs;
  }

  /** Ends the process. */
  async shutdown(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    this.#opened = null;
    this.#heard = null;
    if (client !== null) await this.#pair.end(client);
  }

  async #converge(signal: AbortSignal): Promise<void> {
    const client = await this.#ready(signal);
    try {
      if (this.#opened === null) {
        const { options, incarnation } = this.#desired;
        await client.open(options, incarnation);
        this.#opened = { options, incarnation };
      }
      // Starting and opening take their time: what is the newest by now.
      const { table } = this.#desired;
      const refused = table === null || table === this.#applied ? this.#refused : await this.#apply(client, table);
      await this.#lookAt(client);
      this.#silentSince = null;
      if (this.state.current?.phase !== "running") this.#runningSince = this.#clock.nowMs();
      this.#hasRun = true;
      this.#update({ phase: "running", reason: refused ?? this.#outdated });
    } catch (error) {
      if (isCode(error, "DATAPLANE_SILENT")) this.#killIfHung();
      throw error;
    }
  }

  /** Tables may come often; whether the workers run is asked once a tick. */
  async #lookAt(client: DataplaneClient): Promise<void> {
    const now = this.#clock.nowMs();
    if (client === this.#lookedAt && now - (this.#heard?.atMs ?? 0) < TICK_MS / 2) return;
    const inspection = await client.inspect();
    this.#heard = { atMs: this.#clock.nowMs(), inspection };
    if (!inspection.running) {
      await this.shutdown();
      throw new RipstopError("DATAPLANE_STOPPED", "the data plane's workers have stopped; it is started again");
    }
    this.#lookedAt = client;
  }

  /** A process that is open as wanted, or that can be opened. */
  async #ready(signal: AbortSignal): Promise<DataplaneClient> {
    const client = this.#client ?? (await this.#attach(signal));
    const { options, incarnation } = this.#desired;
    const opened = this.#opened;
    if (opened === null) {
      if (!this.#confined) return client;
      await this.shutdown();
      return this.#attach(signal);
    }
    if (opened.incarnation !== incarnation) return this.#replace(client, opened, incarnation, signal);
    if (!sameOpenOptions(opened.options, options)) return this.#replace(client, opened, "other options", signal);
    const { version } = this.state.current as DataplaneState;
    if (version === ripstopVersion() || this.#clock.nowMs() < this.#upgradeAtMs) return client;
    return this.#replace(client, opened, `version ${version} becomes ${ripstopVersion()}`, signal);
  }

  async #replace(
    client: DataplaneClient,
    opened: Pick<DesiredDataplane, "options" | "incarnation">,
    why: string,
    signal: AbortSignal,
  ): Promise<DataplaneClient> {
    const { options, incarnation } = this.#desired;
    this.#logger.info("replacing the data plane", { options, reason: why });
    try {
      const change = { oldOptions: opened.options, options, incarnation, applied: this.#applied, tables: this.#tables };
      const { next, table } = await succeed({ pair: this.#pair, old: client, ...change }, signal);
      this.#adopt(next, { options, incarnation });
      this.#applied = table;
      this.#refused = null;
      this.#outdated = null;
      this.#logger.info("replaced the data plane", { dataplanePid: next.hello.pid, version: next.hello.version });
      return next.client;
    } catch (error) {
      const failed = error instanceof SuccessionFailed ? error : new SuccessionFailed(error, true);
      const sameWish = opened.incarnation === incarnation && sameOpenOptions(opened.options, options);
      // What an older version carries is right; what other devices or options carry is not, and the kernel's path is.
      if (!failed.oldIsAlive || !sameWish) {
        await this.shutdown();
        throw failed.cause;
      }
      this.#upgradeAtMs = this.#clock.nowMs() + this.#upgradeBackoff.nextMs();
      this.#outdated = `the data plane goes on in another version: ${failed.message}`;
      this.#logger.warn("cannot replace the data plane; it goes on", { error: failed.cause });
      return client;
    }
  }

  /** A refused table is not tried again: the earlier one stays in force until there is a newer one. */
  async #apply(client: DataplaneClient, table: Uint8Array): Promise<string | null> {
    this.#refused = null;
    try {
      await client.apply(table);
    } catch (error) {
      if (!(error instanceof RipstopError) || error.code.startsWith("DATAPLANE_")) throw error;
      this.#refused = error.message;
      this.#logger.error("the data plane refused a peer table and keeps the one before", { error });
    }
    this.#applied = table;
    return this.#refused;
  }

  async #attach(signal: AbortSignal): Promise<DataplaneClient> {
    let taken: Controlled;
    try {
      taken = await this.#pair.take(signal);
    } catch (error) {
      if (isCode(error, "DATAPLANE_SILENT")) this.#killIfHung();
      throw error;
    }
    const { opened, incarnation, pid, version } = taken.hello;
    this.#adopt(taken, opened === null ? null : { options: opened, incarnation });
    this.#applied = null;
    if (opened !== null) this.#logger.info("adopted a running data plane", { dataplanePid: pid, version });
    return taken.client;
  }

  #adopt({ client, hello }: Controlled, opened: Pick<DesiredDataplane, "options" | "incarnation"> | null): void {
    this.#client = client;
    this.#opened = opened;
    this.#confined = hello.confined;
    this.#update({ pid: hello.pid, version: hello.version, adopted: hello.opened !== null });
    void client.ended.then(() => {
      if (this.#client !== client) return;
      this.#client = null;
      this.#opened = null;
      this.#heard = null;
      this.#wake();
    });
  }

  #started(dataplanePid: number): void {
    const restarts = (this.state.current?.restarts ?? 0) + (this.#hasRun ? 1 : 0);
    this.#logger.info("started the data-plane process", { dataplanePid, restarts });
    this.#update({ pid: dataplanePid, restarts });
  }

  /** The kernel path has taken over 30 ms after the workers stopped; this only ends a process that will not come back. */
  #killIfHung(): void {
    const now = this.#clock.nowMs();
    this.#silentSince ??= now;
    if (now - this.#silentSince < (this.#given.hangMs ?? HANG_MS)) return;
    const dataplanePid = this.#pair.kill();
    if (dataplanePid !== null)
      this.#logger.error("killed the data-plane process, which has not answered", { dataplanePid });
    this.#silentSince = null;
  }

  #note(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    // A process that answers but cannot open is another matter than one that is not there.
    const phase = this.#client !== null && !isCode(error, "DATAPLANE_SILENT") ? "unavailable" : "waiting";
    if (this.state.current?.reason !== reason)
      this.#logger.warn("no user-space data plane; the kernel path carries", { error });
    this.#update({ phase, reason, ...(this.#client === null ? { pid: null } : {}) });
  }

  #update(changes: Partial<DataplaneState>): void {
    const before = this.state.current as DataplaneState;
    const after = { ...before, ...changes };
    if (JSON.stringify(before) !== JSON.stringify(after)) this.state.set(after);
  }

  /** Ends early when `until` has become true by the time of a wake. */
  async #pause(ms: number, signal: AbortSignal, until: () => boolean): Promise<void> {
    if (until()) return;
    const woken = new AbortController();
    this.#wake = () => {
      if (until()) woken.abort(null);
    };
    await this.#clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    this.#wake = () => {};
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof RipstopError && error.code === code;
}
