// Which underlay addresses are reached without a gateway, judged from the main routing table. Pure. Asking the kernel once
// per peer would be exact under policy routing too, but 5,000 questions per pass cost more than they tell.
import type { Prefix } from "../addr/address.js";
import { prefixContains, prefixCovers } from "../addr/prefix.js";
import { type HostRoute, RIPSTOP_ROUTE_PROTOCOL, type UnderlayAddress } from "../host/host.js";

/** Overlay routes never lead to an underlay address, so they are left out before anything is searched. */
export function directTest(
  routes: readonly HostRoute[],
  networks: readonly Prefix[],
): (address: UnderlayAddress) => boolean {
  const candidates = routes
    .filter(({ protocol }) => protocol !== RIPSTOP_ROUTE_PROTOCOL)
    .filter(({ destination }) => !networks.some((network) => prefixCovers(network, destination)))
    .sort((a, b) => b.destination.length - a.destination.length);
  return ({ family, address }) => {
    const best = candidates.find(
      ({ destination }) => destination.family === family && prefixContains(destination, address),
    );
    if (best === undefined || best.gateway !== null) return false;
    // More than one next hop for the same prefix is not one segment.
    return !candidates.some(
      (other) =>
        other !== best &&
        other.destination.family === family &&
        other.destination.length === best.destination.length &&
        other.destination.address === best.destination.address &&
        other.linkIndex !== best.linkIndex,
    );
  };
}
