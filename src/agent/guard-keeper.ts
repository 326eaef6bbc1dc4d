// Keeps the rules that keep pods from the overlay's UDP port, over an agent's life: looks as often as at the packet filter, and
// follows the session's overlay and interface. Leaves them at the end, as everything that goes on without the agent. A host
// without nft gets one warning, and status says that pods are not kept out.
import type { Prefix } from "../addr/address.js";
import { prefixContains } from "../addr/prefix.js";
import type { TunnelGuard } from "../host/tunnel-guard.js";
import type { TunnelGuardCounts, TunnelGuardRules } from "../host/tunnel-guard-text.js";
import type { AgentParts } from "./parts.js";
import type { Session } from "./session.js";

export interface GuardStatus {
  /** nft's name of the table. */
  readonly table: string;
  /** Why it cannot be made; null: it is there, as of the last look. */
  readonly problem: string | null;
  readonly dropped: TunnelGuardCounts;
}

export class GuardKeeper {
  readonly #parts: Pick<AgentParts, "makeTunnelGuard" | "clock" | "logger">;
  readonly #resyncMs: number;
  #guard: TunnelGuard | null = null;
  #status: GuardStatus | null = null;

  constructor(parts: Pick<AgentParts, "makeTunnelGuard" | "clock" | "logger">, resyncMs: number) {
    this.#parts = parts;
    this.#resyncMs = resyncMs;
  }

  /** Null: nobody can enter this overlay by a UDP port. */
  get status(): GuardStatus | null {
    return this.#status;
  }

  /** For one session, until the signal; never rejects. */
  async follow(session: Session, networks: readonly Prefix[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const rules = rulesOf(session, networks);
    let said = "";
    while (!signal.aborted) {
      said = await this.#look(rules, said);
      if (rules === null && said === "") return;
      // 0 means: once, as for the packet filter.
      await clock.sleep(this.#resyncMs === 0 ? Number.POSITIVE_INFINITY : this.#resyncMs, signal);
    }
  }

  /** What was said of it: empty when all is well. */
  async #look(rules: TunnelGuardRules | null, said: string): Promise<string> {
    const logger = this.#parts.logger.part("tunnel-guard");
    try {
      const guard = await this.#guardOf(rules);
      if (guard === null || rules === null) return "";
      const { changed, dropped } = await guard.reconcile(rules);
      if (changed) logger.info("programmed the packet filter", { mode: "nftables", changes: 1, detail: [guard.table] });
      this.#status = { table: guard.table, problem: null, dropped };
      return "";
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (this.#status !== null) this.#status = { ...this.#status, problem };
      if (problem !== said) logger.warn("pods cannot be kept from the overlay's port", { mode: "nftables", error });
      return problem;
    }
  }

  /** The guard of this overlay; that of another one, which a session before had, goes. */
  async #guardOf(rules: TunnelGuardRules | null): Promise<TunnelGuard | null> {
    const device = rules?.overlayDevices[0] ?? null;
    const next = device === null ? null : this.#parts.makeTunnelGuard(device);
    if (this.#guard !== null && this.#guard.table === next?.table) return this.#guard;
    await this.#guard?.remove();
    this.#guard = next;
    this.#status = next === null ? null : { table: next.table, problem: null, dropped: { ownNode: 0, otherNodes: 0 } };
    return next;
  }
}

function rulesOf({ overlay, external }: Session, networks: readonly Prefix[]): TunnelGuardRules | null {
  if (overlay?.tunnel == null) return null;
  const { encapsulation, vni, port, overlayDevice, overlayDeviceV6 } = overlay.tunnel;
  const subnets = [overlay.own.subnet, overlay.own.ipv6Subnet].filter((prefix) => prefix !== null);
  const { ipv4, publicIp, ipv6, publicIpv6 } = external;
  const addresses = { 4: [ipv4, publicIp], 6: [ipv6, publicIpv6] };
  // Where nodes have addresses inside the overlay's network, other nodes' packets come from there too.
  const nodesInside = (network: Prefix): boolean =>
    addresses[network.family].some((address) => address !== null && prefixContains(network, address));
  const podSources = networks.flatMap((network) =>
    nodesInside(network) ? subnets.filter(({ family }) => family === network.family) : [network],
  );
  return {
    encapsulation,
    vni,
    port,
    overlayDevices: [overlayDevice, overlayDeviceV6].filter((name) => name !== ""),
    externalInterface: external.name,
    podSources,
    subnets,
  };
}
