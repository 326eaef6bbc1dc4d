// One lease -> its peers. Pure. Leases come from machines we do not control: every check here ends in one refused lease, and
// the others are not affected. Leases of another backend type are none of our business and are passed over in silence, as
// flannel does.
import type { Mac, Prefix } from "../addr/address.js";
import { isRoutable4, isRoutable6 } from "../addr/routable.js";
import { formatPrefix, prefixCovers, prefixesOverlap } from "../addr/prefix.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { formatUnderlay, sameUnderlay } from "../host/text.js";
import type { Lease } from "../lease/lease.js";

/** What BackendData must give; a text says what is wrong with it. */
export type VtepMacReader = (backendData: unknown) => Mac | { readonly reason: string };

export interface PeerRules {
  /** Only leases of this type count; null: all (udp does not look, as in flannel). */
  readonly leaseType: string | null;
  /** The overlay networks by family; a family that is off has none. */
  readonly networks: readonly Prefix[];
  /** Null for backends without a VTEP. */
  readonly readVtepMac: VtepMacReader | null;
}

export interface OwnIdentity {
  readonly leaseKey: string;
  readonly prefixes: readonly Prefix[];
  readonly underlay: readonly UnderlayAddress[];
  /** Null for backends without a VTEP. */
  readonly vtepMac: Mac | null;
}

/** What a lease gives in one network: a peer, or why it is none. */
export type Outcome = Omit<Peer, "id"> | { readonly reason: string };

/** In the order of the networks; null where the lease has nothing, or is none of this backend's business. */
export function readPeers(lease: Lease, key: string, own: OwnIdentity, rules: PeerRules): readonly (Outcome | null)[] {
  const foreign = rules.leaseType !== null && lease.attrs.backendType !== rules.leaseType;
  if (foreign || isOwn(lease, key, own)) return [];
  return rules.networks.map((network) => peerOf(lease, network, own, rules));
}

function isOwn(lease: Lease, key: string, own: OwnIdentity): boolean {
  if (key === own.leaseKey) return true;
  const { subnet, ipv6Subnet } = lease;
  return own.prefixes.some((prefix) => {
    const theirs = prefix.family === 4 ? subnet : ipv6Subnet;
    return theirs !== null && formatPrefix(theirs) === formatPrefix(prefix) && sameNode(lease, own);
  });
}

function sameNode({ attrs }: Lease, own: OwnIdentity): boolean {
  return own.underlay.some((address) => address.address === (address.family === 4 ? attrs.publicIp : attrs.publicIpv6));
}

/** One family of a lease; null when the lease has nothing in this family. */
function peerOf(lease: Lease, network: Prefix, own: OwnIdentity, rules: PeerRules): Outcome | null {
  const { attrs } = lease;
  const prefix = network.family === 4 ? lease.subnet : lease.ipv6Subnet;
  if (prefix === null) return null;
  const shown = formatPrefix(prefix);
  if (!prefixCovers(network, prefix)) return { reason: `its subnet ${shown} lies outside ${formatPrefix(network)}` };
  if (own.prefixes.some((mine) => prefixesOverlap(mine, prefix))) {
    return { reason: `its subnet ${shown} overlaps ours; our pods keep it` };
  }
  const underlay = underlayOf(lease, network.family);
  if (underlay === null) return { reason: `it names no public IPv${network.family} address for ${shown}` };
  if (!(underlay.family === 4 ? isRoutable4(underlay.address) : isRoutable6(underlay.address))) {
    return { reason: `its public address ${formatUnderlay(underlay)} is none that other hosts can send to` };
  }
  if (own.underlay.some((mine) => sameUnderlay(mine, underlay))) {
    return {
      reason: `it announces our own public address ${formatUnderlay(underlay)}; is the machine a copy of this one?`,
    };
  }
  let vtepMac: Mac | null = null;
  if (rules.readVtepMac !== null) {
    const read = rules.readVtepMac(network.family === 4 ? attrs.backendData : attrs.backendV6Data);
    if (typeof read !== "string") return read;
    if (read === own.vtepMac) return { reason: `its VTEP MAC ${read} is ours; is the machine a copy of this one?` };
    vtepMac = read;
  }
  return { leaseKey: lease.key, prefix, underlay, vtepMac, direct: false };
}

function underlayOf({ attrs }: Lease, family: 4 | 6): UnderlayAddress | null {
  if (family === 4) return attrs.publicIp === null ? null : { family, address: attrs.publicIp };
  return attrs.publicIpv6 === null ? null : { family, address: attrs.publicIpv6 };
}
