// The data-plane processes of one run directory: the one in charge and, while it is being replaced, its successor at a socket
// of its own. Finds, starts, ends and promotes them; whether and when is the supervisor's to say. Whatever moment an agent dies
// at, the next one finds both by their sockets.
import { existsSync, renameSync, rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { DataplaneClient } from "../dataplane/client.js";
import type { HelloResult } from "../dataplane/protocol.js";
import { pidPathOf, successorPathOf } from "../dataplane/socket-path.js";
import type { Clock } from "../lib/clock.js";
import { RipstopError } from "../lib/errors.js";
import { isRunning, type ProcessIdentity, readPidFile, signalProcess } from "../lib/process-identity.js";
import type { Logger } from "../observe/logger.js";
import type { Launcher } from "./dataplane-process.js";

export interface DataplanePairOptions {
  readonly socketPath: string;
  readonly launch: Launcher;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly deadlineMs: number;
  /** A process was started to be in charge (not as a successor). */
  readonly onStart: (pid: number) => void;
}

/** A process that answers and obeys us. */
export interface Controlled {
  readonly client: DataplaneClient;
  readonly hello: HelloResult;
}

const START_MS = 10_000;
const END_MS = 3_000;
const POLL_MS = 20;
const NEVER = new AbortController().signal;

export class DataplanePair {
  readonly #given: DataplanePairOptions;
  readonly #successorPath: string;

  constructor(options: DataplanePairOptions) {
    this.#given = options;
    this.#successorPath = successorPathOf(options.socketPath);
  }

  /** The process in charge, under control; one is started when there is none. */
  async take(signal: AbortSignal): Promise<Controlled> {
    const { socketPath, logger } = this.#given;
    const found = await this.#connect(socketPath).catch(() => null);
    if (found !== null) {
      try {
        return await this.#control(found);
      } catch (error) {
        if (!(error instanceof RipstopError) || error.code !== "PROTOCOL_VERSION") throw error;
        logger.warn("a data plane of a foreign version runs; it is ended, the kernel path carries meanwhile", {
          error,
        });
        await this.#endBySignal(socketPath);
      }
    }
    // An agent died between the end of the one and the promotion of the other.
    const heir = await this.#connect(this.#successorPath).catch(() => null);
    if (heir === null) return this.#control(await this.#start(socketPath, signal));
    const controlled = await this.#control(heir);
    this.promote();
    return controlled;
  }

  /** A fresh process beside the one in charge; what an earlier attempt has left there is ended first. */
  async takeSuccessor(signal: AbortSignal): Promise<Controlled> {
    const left = await this.#connect(this.#successorPath).catch(() => null);
    if (left !== null) {
      await left.hello("control").catch(() => undefined);
      await this.end(left, this.#successorPath);
    }
    return this.#control(await this.#start(this.#successorPath, signal));
  }

  /** From here on the successor is found where its predecessor was. */
  promote(): void {
    const pidFile = pidPathOf(this.#successorPath);
    if (existsSync(pidFile)) renameSync(pidFile, pidPathOf(this.#given.socketPath));
    renameSync(this.#successorPath, this.#given.socketPath);
  }

  endSuccessor(client: DataplaneClient): Promise<void> {
    return this.end(client, this.#successorPath);
  }

  /** In order when it obeys, by force when it does not. Afterwards the process is gone, and the kernel has back what it held. */
  async end(client: DataplaneClient, path = this.#given.socketPath): Promise<void> {
    const identity = readPidFile(pidPathOf(path));
    const asked = client.shutdown().then(
      () => true,
      () => false,
    );
    const obeys = await Promise.race([asked, delay(END_MS, false, { ref: false })]);
    client.disconnect();
    if (identity !== null) await this.#untilGone(identity, obeys ? null : "SIGKILL");
    this.#forget(path);
  }

  /** For a process that has been silent too long; its pid, or null when there is none. */
  kill(): number | null {
    const identity = readPidFile(pidPathOf(this.#given.socketPath));
    return identity !== null && signalProcess(identity, "SIGKILL") ? identity.pid : null;
  }

  async #endBySignal(path: string): Promise<void> {
    const identity = readPidFile(pidPathOf(path));
    if (identity !== null) await this.#untilGone(identity, "SIGTERM");
    this.#forget(path);
  }

  async #untilGone(identity: ProcessIdentity, signal: NodeJS.Signals | null): Promise<void> {
    const { clock } = this.#given;
    if (signal !== null) signalProcess(identity, signal);
    for (const until = clock.nowMs() + END_MS; isRunning(identity) && clock.nowMs() < until; )
      await clock.sleep(POLL_MS, NEVER);
    signalProcess(identity, "SIGKILL");
  }

  /** Only after the process is gone: one that was promoted does not know where its files are. */
  #forget(path: string): void {
    if (readPidFile(pidPathOf(path)) !== null) return;
    for (const file of [path, pidPathOf(path)]) rmSync(file, { force: true });
  }

  #connect(path: string): Promise<DataplaneClient> {
    return DataplaneClient.connect(path, { deadlineMs: this.#given.deadlineMs });
  }

  async #control(client: DataplaneClient): Promise<Controlled> {
    try {
      return { client, hello: await client.hello("control") };
    } catch (error) {
      client.disconnect();
      throw error;
    }
  }

  async #start(path: string, signal: AbortSignal): Promise<DataplaneClient> {
    const { clock, logger, launch, socketPath } = this.#given;
    const launched = await launch(path);
    if (path === socketPath) this.#given.onStart(launched.pid);
    let ended: string | null = null;
    void launched.exited.then((how) => {
      ended = how;
      logger.warn("the data-plane process ended", { dataplanePid: launched.pid, reason: how });
    });
    for (const until = clock.nowMs() + START_MS; clock.nowMs() < until && !signal.aborted; ) {
      const client = await this.#connect(path).catch(() => null);
      if (client !== null) return client;
      if (ended !== null)
        throw new RipstopError("DATAPLANE_START_FAILED", `the data-plane process ended at once (${String(ended)})`);
      await clock.sleep(POLL_MS, signal);
    }
    throw new RipstopError(
      "DATAPLANE_START_FAILED",
      `the data-plane process did not listen at ${path} within ${START_MS} ms`,
    );
  }
}
