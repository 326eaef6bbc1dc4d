// Keeps the route that drops what is meant for pods of this node that do not exist (-ip-blackhole-route), looking as often as at
// the packet filter. Without the flag our own route of an earlier run goes, once. Leaves the route at the end.
import { formatPrefix } from "../addr/prefix.js";
import type { AgentOptions } from "../config/options.js";
import type { Lease } from "../lease/lease.js";
import type { AgentParts } from "./parts.js";

/** Until the signal; never rejects. */
export async function keepBlackhole(
  parts: Pick<AgentParts, "host" | "clock" | "logger">,
  { blackholeRoute: wanted, ruleResyncMs: resyncMs }: AgentOptions,
  { subnet, ipv6Subnet }: Lease,
  signal: AbortSignal,
): Promise<void> {
  const { host, clock } = parts;
  const prefixes = [subnet, ipv6Subnet].filter((prefix) => prefix !== null);
  const logger = parts.logger.part("blackhole");
  let said = "";
  while (!signal.aborted) {
    try {
      for (const prefix of prefixes) {
        for (const { object, action } of await host.reconcileBlackhole(prefix, wanted)) {
          logger.info("programmed the host", { changes: 1, detail: [`${action} ${object}`] });
        }
      }
      if (!wanted) return;
      said = "";
    } catch (error) {
      const detail = prefixes.map(formatPrefix);
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== said) logger.warn("the blackhole route cannot be kept", { detail, error });
      said = reason;
    }
    // 0 means: once, as for the packet filter.
    await clock.sleep(resyncMs === 0 ? Number.POSITIVE_INFINITY : resyncMs, signal);
  }
}
