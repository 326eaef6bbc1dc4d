// From the other nodes' leases to an overlay's peers, for programs that keep leases in a store but need no agent. Pure.
import { formatIpv4 } from "../addr/ipv4.js";
import { formatIpv6 } from "../addr/ipv6.js";
import { isUnicastMac, parseMac } from "../addr/mac.js";
import { formatPrefix } from "../addr/prefix.js";
import type { Lease } from "../lease/lease.js";
import type { OverlayPeer } from "./overlay-options.js";

/**
 * The peer that a lease describes: its subnets behind its public IP, with the VTEP MAC that flannel's vxlan backend publishes,
 * where there is one. Null for a lease without a public IP or a subnet.
 */
export function leasePeer(lease: Lease): OverlayPeer | null {
  const { publicIp, publicIpv6, backendData } = lease.attrs;
  const underlay = publicIp !== null ? formatIpv4(publicIp) : publicIpv6 !== null ? formatIpv6(publicIpv6) : null;
  const prefixes = [lease.subnet, lease.ipv6Subnet].filter((subnet) => subnet !== null).map(formatPrefix);
  if (underlay === null || prefixes.length === 0) return null;
  const published = typeof backendData === "object" && backendData !== null && "VtepMAC" in backendData;
  const mac = published && typeof backendData.VtepMAC === "string" ? parseMac(backendData.VtepMAC) : null;
  return { underlay, prefixes, ...(mac !== null && isUnicastMac(mac) ? { vtepMac: mac } : {}) };
}
