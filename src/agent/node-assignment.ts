// What a store that hands out subnets itself (Kubernetes) wants of the agent, and says to it: how our node stands, told until
// it is heard, and addresses that somebody wrote for this node, followed while the agent runs. Does nothing for other stores.
import type { AgentOptions } from "../config/options.js";
import { Backoff } from "../lib/backoff.js";
import { Latest } from "../lib/latest.js";
import type { NodeAddresses, NodeStanding } from "../store/store.js";
import type { SubnetEvent } from "../subnet/events.js";
import type { AgentParts } from "./parts.js";
import { untilStoreAnswers } from "./store-wait.js";

const RETRY = { initialMs: 500, maxMs: 30_000 };
/** flannel's own words, which other tools look for. */
const UP: NodeStanding = { available: true, reason: "FlannelIsUp", message: "Flannel is running on this node" };

export class NodeStandings {
  readonly #parts: AgentParts;
  readonly #latest = new Latest<NodeStanding>();

  constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  up(): void {
    this.#latest.set(UP);
  }

  /** Events that leave the node without a network of its own. */
  hear(event: SubnetEvent): void {
    if (event.kind === "exhausted") this.#down("PodCIDRNotUsable", event.message);
    if (event.kind === "lost")
      this.#down(
        "PodCIDRChanged",
        "the node has another pod CIDR than its pods; restart ripstop and recreate the pods",
      );
    if (event.kind === "restored") this.up();
  }

  /** Tells the newest standing until it is heard. Ends with the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, logger } = this.#parts;
    if (store.assignment === undefined) return;
    for await (const standing of this.#latest.follow(signal)) {
      const backoff = new Backoff(RETRY);
      while (!signal.aborted && this.#latest.current === standing) {
        try {
          await store.assignment.tell(standing, AbortSignal.any([signal, AbortSignal.timeout(10_000)]));
          break;
        } catch (error) {
          if (signal.aborted) return;
          if (backoff.failures === 0)
            logger.warn("cannot tell the cluster how this node stands; trying again", { error });
          await clock.sleep(backoff.nextMs(), signal);
        }
      }
    }
  }

  #down(reason: string, message: string): void {
    this.#latest.set({ available: false, reason, message });
  }
}

/** The options with the addresses that somebody wrote for this node in the place of ours. Waits for the store; null: do not. */
export async function withNodeAddresses(
  options: AgentOptions,
  parts: AgentParts,
  signal: AbortSignal,
  giveUp: (error: unknown) => NodeAddresses | null,
): Promise<AgentOptions> {
  const { assignment } = parts.store;
  if (assignment === undefined) return options;
  const addresses = await untilStoreAnswers("our node", () => assignment.addresses(signal), parts, signal, giveUp);
  return addressed(options, addresses);
}

/** Calls `changed` with the options whenever somebody wrote other addresses. `initial` is what the command line said. */
export async function followNodeAddresses(
  initial: AgentOptions,
  current: () => AgentOptions,
  parts: AgentParts,
  changed: (options: AgentOptions) => void,
  signal: AbortSignal,
): Promise<void> {
  const { assignment } = parts.store;
  if (assignment === undefined) return;
  let known: readonly string[] = [];
  for await (const addresses of assignment.watchAddresses(signal)) {
    const { problems = [] } = addresses;
    for (const reason of problems.filter((problem) => !known.includes(problem)))
      parts.logger.warn("what somebody wrote for this node cannot be used", { reason });
    known = problems;
    const wanted = addressed(initial, addresses);
    const { publicIp, publicIpv6 } = current();
    if (wanted.publicIp !== publicIp || wanted.publicIpv6 !== publicIpv6) changed(wanted);
  }
}

function addressed(options: AgentOptions, { publicIp, publicIpv6 }: NodeAddresses): AgentOptions {
  if (publicIp === null && publicIpv6 === null) return options;
  return { ...options, publicIp: publicIp ?? options.publicIp, publicIpv6: publicIpv6 ?? options.publicIpv6 };
}
