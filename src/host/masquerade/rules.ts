// What the packet filter shall do, without saying in which tool's words: flannel's seven masquerade rules and three forward
// rules, per family, plus networks that are never masqueraded. Pure.
import type { Prefix } from "../../addr/address.js";
import type { HostChange } from "../host.js";

export interface FamilyRules {
  readonly family: 4 | 6;
  /** The whole overlay. */
  readonly network: Prefix;
  /** Our own lease. */
  readonly subnet: Prefix;
  /** Destinations outside the overlay that must see pod addresses. */
  readonly neverMasquerade: readonly Prefix[];
}

export interface FilterRules {
  readonly families: readonly FamilyRules[];
  readonly masquerade: boolean;
  readonly fullyRandom: boolean;
  readonly forward: boolean;
}

/** Multicast is never masqueraded. */
export const MULTICAST: Readonly<Record<4 | 6, string>> = { 4: "224.0.0.0/4", 6: "ff00::/8" };

/** kube-proxy marks what it will masquerade itself. */
export const KUBE_MARK = "0x4000";

export interface PacketFilter {
  readonly mode: "iptables" | "nftables";
  /** Makes our rules exactly these, in one transaction per family, if one look says that they are not. */
  reconcile(rules: FilterRules): Promise<readonly HostChange[]>;
  /** Takes all our rules away, also those of an earlier run or of flannel. */
  remove(): Promise<readonly HostChange[]>;
}
