// For the backends that carry IPv4 and nothing else.
import type { Ipv4, Prefix4 } from "../addr/address.js";
import { RipstopError } from "../lib/errors.js";
import type { BackendContext } from "./backend.js";

/** Throws NETWORK_CONFIG_INVALID where IPv4 is off or IPv6 is on: half a network would be worse than none. */
export function requireIpv4Only(
  { network: config, external }: BackendContext,
  type: string,
): { readonly network: Prefix4; readonly address: Ipv4 } {
  if (config.network !== null && external.ipv4 !== null && config.ipv6Network === null) {
    return { network: config.network, address: external.ipv4 };
  }
  throw new RipstopError(
    "NETWORK_CONFIG_INVALID",
    `backend ${type} carries IPv4 only; set EnableIPv4 to true and EnableIPv6 to false, or use vxlan`,
    { op: type },
  );
}
