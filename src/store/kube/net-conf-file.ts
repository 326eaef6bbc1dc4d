// The network configuration of the Kubernetes store: a file that a ConfigMap is mounted on. The kubelet replaces the whole
// folder by a symbolic link, which no watch on the file survives, so it is simply read every few seconds.
import { readFile } from "node:fs/promises";
import type { Clock } from "../../lib/clock.js";
import { RipstopError } from "../../lib/errors.js";

const POLL_MS = 5_000;

export class NetConfFile {
  readonly #path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  async read(signal: AbortSignal): Promise<string> {
    try {
      return await readFile(this.#path, { encoding: "utf8", signal });
    } catch (error) {
      signal.throwIfAborted();
      throw new RipstopError(
        "STORE_NO_CONFIG",
        `cannot read the network configuration ${this.#path} (${(error as Error).message}); mount the ConfigMap kube-flannel-cfg there, or give -net-config-path`,
        { cause: error },
      );
    }
  }

  /** The text at once and whenever it is another; a file that is gone or empty for a moment changes nothing. */
  async *follow(signal: AbortSignal): AsyncGenerator<string, void, void> {
    let last = "";
    while (!signal.aborted) {
      const text = await this.read(signal).catch(() => "");
      if (text !== "" && text !== last && !signal.aborted) {
        last = text;
        yield text;
      }
      await this.#clock.sleep(POLL_MS, signal);
    }
  }
}
