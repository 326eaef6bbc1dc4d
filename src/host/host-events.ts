// Kernel notices as coarse reasons to look again: at most one item per kind and batch. Neighbors of the underlay change state
// all the time without meaning anything to us; only entries that vanish, fail or are permanent are passed on.
import type { HostEvent } from "./host.js";
import type { Netlink } from "./netlink.js";
import { NEIGHBOR_STATE, type NetlinkNotice } from "./netlink-objects.js";

export function hostEvents(netlink: Netlink, signal: AbortSignal): AsyncIterable<HostEvent> {
  const batches = netlink.events(["link", "address", "route", "neighbor"], signal);
  return (async function* () {
    for await (const { notices, overrun } of batches) {
      if (overrun) yield { kind: "overrun" };
      const kinds = new Set<HostEvent["kind"]>();
      for (const notice of notices) {
        const kind = kindOf(notice);
        if (kind !== null) kinds.add(kind);
      }
      for (const kind of kinds) yield { kind };
    }
  })();
}

function kindOf(notice: NetlinkNotice): HostEvent["kind"] | null {
  switch (notice.object) {
    case "link":
    case "address":
    case "route":
      return notice.object;
    case "neighbor":
    case "fdb": {
      const matters = notice.deleted || (notice.state & (NEIGHBOR_STATE.permanent | NEIGHBOR_STATE.failed)) !== 0;
      return matters ? "neighbor" : null;
    }
    case "rule":
      return null;
  }
}
