// Which underlay addresses are reached without a gateway, judged from the main routing table. Pure. Asking the kernel once
// per peer would be exact under policy routing too, but 5,000 questions per pass cost more than they tell.
import type { Prefix } from "../addr/address.js";
import { prefixContains, prefixCovers } from "../addr/prefix.js";
import { isRoutable6 } from "../addr/routable.js";
import { type HostRoute, RIPSTOP_ROUTE_PROTOCOL, type UnderlayAddress } from "../host/host.js";

/** From here on a prefix has nothing in it but link-local addresses, if its first is one. */
const LINK_LOCAL_BITS = 10;

/** Those that may lead to an underlay address, as overlay routes and each link's own one never do; the closest first. */
export function underlayRoutes(routes: readonly HostRoute[], networks: readonly Prefix[]): readonly HostRoute[] {
  return routes
    .filter(({ protocol }) => protocol !== RIPSTOP_ROUTE_PROTOCOL)
    .filter(({ destination }) => !networks.some((network) => prefixCovers(network, destination)))
    .filter(({ destination }) => !isLinkLocal(destination))
    .sort((a, b) => b.destination.length - a.destination.length);
}

/** `candidates`: of underlayRoutes(). */
export function directTest(candidates: readonly HostRoute[]): (address: UnderlayAddress) => boolean {
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

function isLinkLocal(destination: Prefix): boolean {
  return destination.family === 6 && destination.length >= LINK_LOCAL_BITS && !isRoutable6(destination.address);
}
