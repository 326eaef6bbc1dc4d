// Leases for tests, from flannel's own text forms.
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { decodeSubnetKey } from "../../src/lease/codec.js";
import type { Lease, LeaseAttrs } from "../../src/lease/lease.js";

export function vxlanAttrs(publicIp: string, mac = "02:00:00:00:00:01"): LeaseAttrs {
  const address = parseIpv4(publicIp);
  if (address === null) throw new Error(`not an address: ${publicIp}`);
  return { publicIp: address, publicIpv6: null, backendType: "vxlan", backendData: { VNI: 1, VtepMAC: mac } };
}

/** `key` is flannel's key, such as "10.1.2.0-24&fd00::-64". */
export function lease(key: string, publicIp: string, createRevision = 1n, overrides: Partial<Lease> = {}): Lease {
  const subnets = decodeSubnetKey(key);
  if (!subnets.ok) throw new Error(subnets.reason);
  return {
    key,
    ...subnets.value,
    attrs: vxlanAttrs(publicIp),
    expiresAt: null,
    createRevision,
    modRevision: createRevision,
    ...overrides,
  };
}

export function leaseMap(...leases: readonly Lease[]): Map<string, Lease> {
  return new Map(leases.map((entry) => [entry.key, entry]));
}
