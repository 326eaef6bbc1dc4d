// Keeps the packet-filter rules (masquerade, forward) as the options want them: looks every -iptables-resync seconds, as
// flannel does, because kube-proxy, Docker and firewalls rewrite those tables. Without the tool: one warning, and status says it.
import type { NetworkConfig } from "../config/network-config.js";
import type { AgentOptions } from "../config/options.js";
import type { FamilyRules, FilterRules, PacketFilter } from "../host/masquerade/rules.js";
import type { Lease } from "../lease/lease.js";
import type { Clock } from "../lib/clock.js";
import type { Logger } from "../observe/logger.js";

export interface FilterLoopOptions {
  readonly filter: PacketFilter;
  readonly rules: FilterRules;
  readonly resyncMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** After each look: why the rules cannot be made; null: they are there. */
  readonly tell: (problem: string | null) => void;
}

export function filterRules(options: AgentOptions, network: NetworkConfig, lease: Lease): FilterRules {
  const { ipMasq, ipMasqFullyRandom, forwardRules } = options;
  const never = (family: 4 | 6) => options.neverMasquerade.filter((prefix) => prefix.family === family);
  const families: FamilyRules[] = [];
  if (network.network !== null && lease.subnet !== null) {
    families.push({ family: 4, network: network.network, subnet: lease.subnet, neverMasquerade: never(4) });
  }
  if (network.ipv6Network !== null && lease.ipv6Subnet !== null) {
    families.push({ family: 6, network: network.ipv6Network, subnet: lease.ipv6Subnet, neverMasquerade: never(6) });
  }
  return { families, masquerade: ipMasq, fullyRandom: ipMasqFullyRandom, forward: forwardRules };
}

/** Until the signal; never rejects. Takes nothing away at the end: traffic goes on without the agent. */
export async function keepFilterRules(options: FilterLoopOptions, signal: AbortSignal): Promise<void> {
  const { filter, rules, resyncMs, clock, tell } = options;
  const logger = options.logger.part("packet-filter");
  if (!rules.masquerade && !rules.forward) return;
  let said = "";
  while (!signal.aborted) {
    try {
      const changes = await filter.reconcile(rules);
      if (changes.length > 0)
        logger.info("programmed the packet filter", { mode: filter.mode, changes: changes.length });
      said = "";
      tell(null);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== said) logger.warn("the packet-filter rules cannot be made", { mode: filter.mode, error });
      said = reason;
      tell(reason);
    }
    // 0 means: once, as in flannel.
    await clock.sleep(resyncMs === 0 ? Number.POSITIVE_INFINITY : resyncMs, signal);
  }
}
