// Leases -> peers. Pure. Leases come from machines we do not control: every check here ends in one refused lease, and
// the others are not affected. Leases of another backend type are none of our business and are passed over in silence, as
// flannel does.
import type { Mac, Prefix } from "../addr/address.js";
import { formatPrefix, prefixCovers, prefixesOverlap } from "../addr/prefix.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { formatUnderlay, sameUnderlay } from "../host/text.js";
import { settleClaims } from "../lease/claims.js";
import type { Lease } from "../lease/lease.js";
import type { RefusedPeer } from "./backend.js";

/** What BackendData must give; a text says what is wrong with it. */
export type VtepMacReader = (backendData: unknown) => Mac | { readonly reason: string };

export interface PeerRules {
  /** Only leases of this type count; null: all (udp does not look, as in flannel). */
  readonly leaseType: string | null;
  /** The overlay networks by family; a family that is off has none. */
  readonly networks: readonly Prefix[];
  /** Null for backends without a VTEP. */
  readonly readVtepMac: VtepMacReader | null;
  /** True when a plain route reaches the peer without a gateway. */
  readonly isDirect: (underlay: UnderlayAddress) => boolean;
}

export interface OwnIdentity {
  readonly leaseKey: string;
  readonly prefixes: readonly Prefix[];
  readonly underlay: readonly UnderlayAddress[];
}

export interface BuiltPeers {
  readonly peers: readonly Peer[];
  readonly refused: readonly RefusedPeer[];
}

/** Numbers that stay with a peer as long as its lease lives. */
export class PeerIds {
  readonly #ids = new Map<string, number>();
  #next = 1;

  idOf(leaseKey: string, family: 4 | 6): number {
    const key = `${family} ${leaseKey}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#next++;
    this.#ids.set(key, id);
    return id;
  }

  /** Forgets leases that are gone; one that comes back is a new peer. */
  retain(leases: ReadonlyMap<string, Lease>): void {
    for (const key of this.#ids.keys()) {
      if (!leases.has(key.slice(2))) this.#ids.delete(key);
    }
  }
}

export function buildPeers(
  leases: ReadonlyMap<string, Lease>,
  own: OwnIdentity,
  rules: PeerRules,
  ids: PeerIds,
): BuiltPeers {
  const refused: RefusedPeer[] = [];
  const others = new Map([...leases].filter(([key, lease]) => !isOwn(lease, key, own)));
  const settled = settleClaims(others);
  for (const { key, reason } of settled.quarantined) refused.push({ key, reason });
  const peers: Peer[] = [];
  const macOwners = new Map<string, string>();
  const oldestFirst = [...settled.leases.values()].sort((a, b) => (a.createRevision < b.createRevision ? -1 : 1));
  for (const lease of oldestFirst) {
    if (rules.leaseType !== null && lease.attrs.backendType !== rules.leaseType) continue;
    for (const network of rules.networks) {
      const outcome = peerOf(lease, network, own, rules, macOwners);
      if (outcome === null) continue;
      if ("reason" in outcome) refused.push({ key: lease.key, reason: outcome.reason });
      else peers.push({ id: ids.idOf(lease.key, network.family), ...outcome });
    }
  }
  ids.retain(leases);
  return { peers, refused };
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

/** One family of a lease: a peer, a reason why not, or null when the lease has nothing in this family. */
function peerOf(
  lease: Lease,
  network: Prefix,
  own: OwnIdentity,
  rules: PeerRules,
  macOwners: Map<string, string>,
): Omit<Peer, "id"> | { readonly reason: string } | null {
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
  if (own.underlay.some((mine) => sameUnderlay(mine, underlay))) {
    return {
      reason: `it announces our own public address ${formatUnderlay(underlay)}; is the machine a copy of this one?`,
    };
  }
  let vtepMac: Mac | null = null;
  if (rules.readVtepMac !== null) {
    const read = rules.readVtepMac(network.family === 4 ? attrs.backendData : attrs.backendV6Data);
    if (typeof read !== "string") return read;
    const owner = macOwners.get(`${network.family} ${read}`);
    if (owner !== undefined)
      return { reason: `its VTEP MAC ${read} is that of ${owner}; is the machine a copy of that one?` };
    macOwners.set(`${network.family} ${read}`, lease.key);
    vtepMac = read;
  }
  return { leaseKey: lease.key, prefix, underlay, vtepMac, direct: rules.isDirect(underlay) };
}

function underlayOf({ attrs }: Lease, family: 4 | 6): UnderlayAddress | null {
  if (family === 4) return attrs.publicIp === null ? null : { family, address: attrs.publicIp };
  return attrs.publicIpv6 === null ? null : { family, address: attrs.publicIpv6 };
}
