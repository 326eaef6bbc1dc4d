// Keeps the data-plane process as the agent wants it: adopts one that already runs with the wanted options, starts one
// otherwise, hands it the newest table, starts it again after a crash, kills it when it hangs. Level-triggered: one
// function compares wanted and actual; changes, hang-ups and a tick only say when. Never stops a healthy data plane when
// the agent ends. While there is none, the kernel path carries everything.
import { DataplaneClient } from "../dataplane/client.js";
import type { OpenOptions } from "../dataplane/binding.js";
import { sameOpenOptions } from "../dataplane/options.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { Backoff } from "../lib/backoff.js";
import type { Clock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { Latest } from "../lib/latest.js";
import { readPidFile, signalProcess } from "../lib/process-identity.js";
import type { Logger } from "../observe/logger.js";
import type { Launcher } from "./dataplane-process.js";

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
/** A process that lived this long has not crashed "at once": the next restart does not wait long. */
const STABLE_MS = 30_000;
const START_MS = 10_000;
const POLL_MS = 20;

export class Supervisor {
  readonly state = new Latest<DataplaneState>();
  readonly #given: SupervisorOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #backoff = new Backoff({ initialMs: 100, maxMs: 30_000 });
  #desired: DesiredDataplane;
  #client: DataplaneClient | null = null;
  #opened: Pick<DesiredDataplane, "options" | "incarnation"> | null = null;
  #applied: Uint8Array | null = null;
  #refused: string | null = null;
  #silentSince: number | null = null;
  #runningSince = 0;
  #hasRun = false;
  #wake: () => void = () => {};

  constructor(options: SupervisorOptions, desired: DesiredDataplane) {
    this.#given = options;
    this.#logger = options.logger.part("supervisor");
    this.#clock = options.clock;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#desired = desired;
    this.state.set({ phase: "starting", reason: null, pid: null, version: null, adopted: false, restarts: 0 });
  }

  /** Cheap: remembers the newest wish and wakes the loop. */
  want(desired: DesiredDataplane): void {
    this.#desired = desired;
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

  /** Keeps converging until the signal; never rejects. Leaves the data plane running. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wanted = this.#desired;
      const changed = () => this.#desired !== wanted;
      try {
        await this.#converge(signal);
        if (this.#clock.nowMs() - this.#runningSince >= STABLE_MS) this.#backoff.reset();
        await this.#pause(TICK_MS, signal, () => changed() || this.#client === null);
        if (this.#client !== null || signal.aborted) continue;
        throw new RipstopError("DATAPLANE_GONE", "the data-plane process went away; it is started again");
      } catch (error) {
        if (signal.aborted) break;
        this.#note(error);
        await this.#pause(isCode(error, "DATAPLANE_SILENT") ? TICK_MS : this.#backoff.nextMs(), signal, changed);
      }
    }
    this.#client?.disconnect();
  }

  /** Ends the process, for a start that failed and for cleanup. */
  async shutdown(): Promise<void> {
    await this.#client?.shutdown().catch(() => undefined);
    this.#client?.disconnect();
    this.#client = null;
  }

  async #converge(signal: AbortSignal): Promise<void> {
    const { options, incarnation, table } = this.#desired;
    const client = this.#client ?? (await this.#attach(signal));
    try {
      const opened = this.#opened;
      if (opened === null || opened.incarnation !== incarnation || !sameOpenOptions(opened.options, options)) {
        await this.#reopen(client, options, incarnation);
      }
      const refused = table === null || table === this.#applied ? this.#refused : await this.#apply(client, table);
      const { running } = await client.inspect();
      if (!running) {
        this.#opened = null;
        throw new RipstopError("DATAPLANE_STOPPED", "the data plane's workers have stopped; it is opened again");
      }
      this.#silentSince = null;
      if (this.state.current?.phase !== "running") this.#runningSince = this.#clock.nowMs();
      this.#hasRun = true;
      this.#update({ phase: "running", reason: refused });
    } catch (error) {
      if (isCode(error, "DATAPLANE_SILENT")) this.#killIfHung();
      throw error;
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

  async #reopen(client: DataplaneClient, options: OpenOptions, incarnation: string): Promise<void> {
    if (this.#opened !== null) {
      this.#logger.info("data plane is reopened", { options, reason: incarnation });
      await client.close();
    }
    this.#opened = null;
    this.#applied = null;
    await client.open(options, incarnation);
    this.#opened = { options, incarnation };
  }

  async #attach(signal: AbortSignal): Promise<DataplaneClient> {
    const client = await this.#connectOrLaunch(signal);
    try {
      const hello = await client.hello("control");
      this.#opened = hello.opened === null ? null : { options: hello.opened, incarnation: hello.incarnation };
      this.#applied = null;
      this.#client = client;
      this.#update({ pid: hello.pid, version: hello.version, adopted: hello.opened !== null });
      if (hello.opened !== null)
        this.#logger.info("adopted a running data plane", { dataplanePid: hello.pid, version: hello.version });
    } catch (error) {
      client.disconnect();
      if (isCode(error, "DATAPLANE_SILENT")) this.#killIfHung();
      throw error;
    }
    void client.ended.then(() => {
      if (this.#client !== client) return;
      this.#client = null;
      this.#opened = null;
      this.#wake();
    });
    return client;
  }

  async #connectOrLaunch(signal: AbortSignal): Promise<DataplaneClient> {
    const connect = () => DataplaneClient.connect(this.#given.socketPath, { deadlineMs: this.#deadlineMs });
    try {
      return await connect();
    } catch {
      // Nobody there: start one.
    }
    const launched = this.#given.launch();
    const restarts = (this.state.current?.restarts ?? 0) + (this.#hasRun ? 1 : 0);
    this.#logger.info("started the data-plane process", { dataplanePid: launched.pid, restarts });
    this.#update({ pid: launched.pid, restarts });
    let ended: string | null = null;
    void launched.exited.then((how) => {
      ended = how;
      this.#logger.warn("the data-plane process ended", { dataplanePid: launched.pid, reason: how });
    });
    for (const until = this.#clock.nowMs() + START_MS; this.#clock.nowMs() < until && !signal.aborted; ) {
      const client = await connect().catch(() => null);
      if (client !== null) return client;
      if (ended !== null)
        throw new RipstopError("DATAPLANE_START_FAILED", `the data-plane process ended at once (${String(ended)})`);
      await this.#clock.sleep(POLL_MS, signal);
    }
    throw new RipstopError(
      "DATAPLANE_START_FAILED",
      `the data-plane process did not listen at ${this.#given.socketPath} within ${START_MS} ms`,
    );
  }

  /** The kernel path has taken over 50 ms after the workers stopped; this only ends a process that will not come back. */
  #killIfHung(): void {
    const now = this.#clock.nowMs();
    this.#silentSince ??= now;
    if (now - this.#silentSince < (this.#given.hangMs ?? HANG_MS)) return;
    const identity = readPidFile(pidPathOf(this.#given.socketPath));
    if (identity !== null && signalProcess(identity, "SIGKILL")) {
      this.#logger.error("killed the data-plane process, which has not answered", { dataplanePid: identity.pid });
    }
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
      if (until()) woken.abort();
    };
    await this.#clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    this.#wake = () => {};
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof RipstopError && error.code === code;
}
