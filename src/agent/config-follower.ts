// Follows the network configuration in the store while the agent runs: what can be taken over at once becomes the given of
// the next session, the rest is reported as waiting for a restart, and what is wrong is refused with its reason while the
// one before stays. Owned by the agent; changes nothing on the host.
import type { ExternalInterface } from "../backend/backend.js";
import { liveChange } from "../config/live-change.js";
import type { AgentOptions } from "../config/options.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import { requireCarriable } from "./plane-keeper.js";
import type { SessionOptions } from "./session.js";
import type { ConfigStatus } from "./status.js";

export class ConfigFollower {
  #given: SessionOptions;
  #text: string;
  /** What the session that stands was made of. */
  #accepted: { readonly given: SessionOptions; readonly text: string };
  #seen: string;
  readonly #report: (status: ConfigStatus) => void;

  constructor(given: SessionOptions, text: string, report: (status: ConfigStatus) => void) {
    this.#given = given;
    this.#text = text;
    this.#accepted = { given, text };
    this.#seen = text;
    this.#report = report;
  }

  /** Somebody wrote other addresses for this node: the next session is made with them. */
  readdress(options: AgentOptions): void {
    this.#given = { ...this.#given, options };
  }

  /** What a session is to be made of now. */
  get given(): SessionOptions {
    return this.#given;
  }

  /** The newest configuration that is wholly in force, for a start without the store. */
  get text(): string {
    return this.#text;
  }

  /** `changed` is told what to take over by another session. Ends with the signal. */
  async run(external: () => ExternalInterface, changed: (why: string) => void, signal: AbortSignal): Promise<void> {
    const { store, logger } = this.#given.parts;
    for await (const text of store.watchNetworkConfig(signal)) {
      if (text === this.#seen) continue;
      this.#seen = text;
      try {
        const why = this.#consider(text, external());
        if (why !== null) changed(why);
      } catch (error) {
        logger.error("the new network configuration is refused; the one before stays", { error });
        this.#report({ restartFor: [], refused: messageOf(error) });
      }
    }
  }

  /** No session can be made of `failed`: the given before is in force again. False when it is that itself. */
  refuse(failed: SessionOptions, error: unknown): boolean {
    if (failed === this.#accepted.given) return false;
    if (failed !== this.#given) return true;
    this.#given = this.#accepted.given;
    this.#text = this.#accepted.text;
    this.#given.parts.logger.error("the new network configuration cannot be applied; the one before is again", {
      error,
    });
    this.#report({ restartFor: [], refused: messageOf(error) });
    return true;
  }

  /** A session made of it stands. */
  accept(given: SessionOptions): void {
    if (given === this.#given) this.#accepted = { given, text: this.#text };
  }

  /** What changes at once; null: nothing. Throws what is wrong with it. */
  #consider(text: string, external: ExternalInterface): string | null {
    const { parts, options } = this.#given;
    const wanted = parseNetworkConfig(text, { allocates: parts.store.kind !== "kube" });
    this.#check(wanted, external);
    const { network, choice, live, restart } = liveChange(this.#given, wanted, options.dataPlane);
    this.#check(network, external);
    for (const warning of wanted.warnings) parts.logger.warn("network configuration", { reason: warning });
    if (restart.length > 0)
      parts.logger.warn("the network configuration changed in what only a restart applies", { detail: restart });
    this.#report({ restartFor: [...restart], refused: null });
    if (restart.length === 0) this.#text = text;
    if (live.length === 0) return null;
    this.#given = { ...this.#given, network, choice };
    return `the network configuration has another ${live.join(", ")}`;
  }

  /** A backend that can be made accepts its options. */
  #check(network: NetworkConfig, external: ExternalInterface): void {
    const { parts, options } = this.#given;
    const log = { info: () => {}, warn: () => {} };
    const context = { network, external, host: parts.host, stateDir: options.stateDir, log };
    requireCarriable(this.#given.choice.mode, parts.makeBackend(context));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
