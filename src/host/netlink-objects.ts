// The rtnetlink objects of the public netlink API: what dumps and events tell, and what requests carry. Addresses are text,
// as `ip -j` writes them; numbers are the kernel's. Mirrors native/netlink/objects.h field by field. Types and constants only.

/** Route types (rtm_type). */
export const ROUTE_TYPE = { unicast: 1, local: 2, blackhole: 6, unreachable: 7 } as const;
/** Well-known route protocols (rtm_protocol): who made a route. */
export const ROUTE_PROTOCOL = { unspecified: 0, redirect: 1, kernel: 2, boot: 3, static: 4 } as const;
/** Scopes of routes and addresses. */
export const SCOPE = { global: 0, link: 253, host: 254 } as const;
/** Neighbor states (NUD_*), a bit set. */
export const NEIGHBOR_STATE = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;
/** Neighbor flags (NTF_*): `self` addresses the device's own FDB, `use` asks the kernel to resolve now. */
export const NEIGHBOR_FLAG = { use: 0x01, self: 0x02, master: 0x04, router: 0x80 } as const;
/** Extended neighbor flags (NTF_EXT_*), kernel >= 5.16: `managed` keeps an entry resolved without traffic. */
export const NEIGHBOR_EXT_FLAG = { managed: 0x01 } as const;
/** Address flags (IFA_F_*). */
export const ADDRESS_FLAG = {
  temporary: 0x01,
  noDad: 0x02,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
} as const;

export interface NetlinkVxlan {
  readonly vni: number | null;
  /** UDP destination port. */
  readonly port: number | null;
  readonly local: string | null;
  readonly group: string | null;
  readonly lowerIndex: number | null;
  readonly ttl: number | null;
  readonly tos: number | null;
  readonly learning: boolean | null;
  readonly proxy: boolean | null;
  readonly rsc: boolean | null;
  readonly l2miss: boolean | null;
  readonly l3miss: boolean | null;
  readonly udpChecksum: boolean | null;
  readonly udp6ZeroChecksumTx: boolean | null;
  readonly udp6ZeroChecksumRx: boolean | null;
  readonly gbp: boolean;
}

export interface NetlinkIpTunnel {
  readonly local: string | null;
  readonly remote: string | null;
}

export interface NetlinkLink {
  readonly object: "link";
  readonly index: number;
  readonly name: string;
  /** "vxlan", "veth", "bridge", ...; "" for hardware. */
  readonly kind: string;
  readonly mac: string | null;
  readonly mtu: number;
  readonly masterIndex: number | null;
  readonly lowerIndex: number | null;
  readonly up: boolean;
  readonly carrier: boolean;
  /** IFF_* as the kernel tells them. */
  readonly flags: number;
  readonly vxlan: NetlinkVxlan | null;
  readonly ipTunnel: NetlinkIpTunnel | null;
}

export interface NetlinkAddress {
  readonly object: "address";
  readonly linkIndex: number;
  /** "10.0.0.5/24", host bits kept; the far end on a point-to-point link. */
  readonly prefix: string;
  /** The own end, where it differs. */
  readonly local: string | null;
  readonly scope: number;
  readonly flags: number;
}

export interface NetlinkNextHop {
  readonly gateway: string | null;
  readonly linkIndex: number;
  readonly onlink: boolean;
}

export interface NetlinkRoute {
  readonly object: "route";
  readonly destination: string;
  readonly gateway: string | null;
  readonly linkIndex: number | null;
  readonly preferredSource: string | null;
  readonly priority: number | null;
  readonly mtu: number | null;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly onlink: boolean;
  /** Of a multipath route; told, never sent. */
  readonly nextHops: readonly NetlinkNextHop[];
}

export interface NetlinkNeighbor {
  readonly object: "neighbor";
  readonly linkIndex: number;
  readonly address: string | null;
  readonly mac: string | null;
  readonly state: number;
  readonly flags: number;
  readonly extFlags: number;
  /** Who made it (NDA_PROTOCOL); null where nobody said. */
  readonly protocol: number | null;
}

/** A forwarding entry of a bridge or VXLAN device; `address` is the remote VTEP. */
export interface NetlinkFdbEntry extends Omit<NetlinkNeighbor, "object"> {
  readonly object: "fdb";
}

export interface NetlinkRule {
  readonly object: "rule";
  readonly family: number;
  readonly source: string | null;
  readonly destination: string | null;
  readonly priority: number | null;
  readonly mark: number | null;
  readonly mask: number | null;
  readonly table: number;
  readonly action: number;
  readonly protocol: number;
}

export type NetlinkObject =
  | NetlinkLink
  | NetlinkAddress
  | NetlinkRoute
  | NetlinkNeighbor
  | NetlinkFdbEntry
  | NetlinkRule;
export type NetlinkKind = NetlinkObject["object"];
export type NetlinkObjectOf<K extends NetlinkKind> = Extract<NetlinkObject, { readonly object: K }>;

/** `add` fails where the object exists, `replace` does not, `change` fails where it does not exist. */
export type NetlinkVerb = "add" | "replace" | "change" | "delete";

type Told<T> = { readonly [K in keyof T]?: T[K] | null | undefined };
type Request<T extends NetlinkObject, Needed extends keyof T> = {
  readonly verb: NetlinkVerb;
  readonly object: T["object"];
} & {
  readonly [K in Needed]: NonNullable<T[K]>;
} & Told<Omit<T, Needed | "object" | "nextHops">>;

/** Needs `name` or `index`; `kind` makes a new link of that kind. */
export type LinkRequest = { readonly verb: NetlinkVerb; readonly object: "link" } & Told<
  Pick<NetlinkLink, "index" | "name" | "kind" | "mac" | "mtu" | "masterIndex" | "up">
> & { readonly vxlan?: Told<NetlinkVxlan> | undefined; readonly ipTunnel?: Told<NetlinkIpTunnel> | undefined };
export type AddressRequest = Request<NetlinkAddress, "linkIndex" | "prefix">;
export type RouteRequest = Request<NetlinkRoute, "destination">;
export type NeighborRequest = Request<NetlinkNeighbor, "linkIndex" | "address">;
export type FdbRequest = Request<NetlinkFdbEntry, "linkIndex" | "mac">;
export type RuleRequest = Request<NetlinkRule, "family">;
export type NetlinkRequest = LinkRequest | AddressRequest | RouteRequest | NeighborRequest | FdbRequest | RuleRequest;

/** What a dump returns; everything where nothing is given. */
export interface NetlinkFilter {
  readonly family?: 4 | 6;
  readonly linkIndex?: number;
  /** Routes: the table; 254 is main. */
  readonly table?: number;
  readonly protocol?: number;
}

/** One request's fate. `message` is the kernel's own text where it gave one. */
export type NetlinkOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly errno: number; readonly code: string; readonly message: string };

export type NetlinkGroup = "link" | "address" | "route" | "neighbor" | "rule";
export type NetlinkNotice = NetlinkObject & { readonly deleted: boolean };

export interface NetlinkEvents {
  readonly notices: readonly NetlinkNotice[];
  /** Notices were lost: dump and compare everything. */
  readonly overrun: boolean;
}

export interface RouteLookup {
  readonly address: string;
  readonly mark?: number;
}
