// What a backend is: how this node's lease becomes an overlay, and how the others' leases become peers. One implementation
// per backend type (catalog.ts lists them). A backend decides; the host programs the kernel; the agent runs the loop and
// feeds the data plane. Everything is level-triggered: each call may come again with the same arguments.
import type { Mac } from "../addr/address.js";
import type { NetworkConfig } from "../config/network-config.js";
import type { OpenOptions } from "../dataplane/binding.js";
import type { Peer, PeerTable } from "../dataplane/peer-table.js";
import type { ExternalInterface } from "../host/external-interface.js";
import type { Host, ReconcileReport } from "../host/host.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";

export type { ExternalInterface };

/** Structured log lines in pino's argument order. */
export interface BackendLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface BackendContext {
  readonly host: Host;
  readonly network: NetworkConfig;
  readonly external: ExternalInterface;
  /** State that survives a reboot (--state-dir); the VTEP MAC is kept here. */
  readonly stateDir: string;
  readonly log: BackendLog;
}

export interface Backend {
  readonly type: string;
  /** False: as it is configured only the kernel carries it. */
  readonly carriable: boolean;
  /** What the lease will say of this node. `previous` is our own earlier record, whose VTEP MAC is kept. Changes nothing. */
  leaseAttrs(previous: LeaseAttrs | null): Promise<LeaseAttrs>;
  /** Makes the overlay device for our lease; rejects when the kernel refuses. */
  attach(own: Lease): Promise<Overlay>;
}

/** A peer that could not be read from its lease; it affects only itself. */
export interface RefusedPeer {
  readonly key: string;
  readonly reason: string;
}

/** The way to a peer: over which neighbor, the peer itself or a gateway, and its MAC; null when it does not answer. */
export interface PeerHop {
  readonly device: string;
  readonly neighbor: string;
  readonly mac: Mac | null;
  readonly pathMtu: number;
}

export type Look = "afresh" | "remembered";

export interface DesiredPeers {
  /** `version` is the one asked for. */
  readonly table: PeerTable;
  readonly refused: readonly RefusedPeer[];
  /** Peers all the same, but with a VTEP MAC that another one claims as well. */
  readonly contested?: readonly RefusedPeer[];
}

/** Where packets of the overlay arrive at a node; with `udp` the VNI is 0. */
export type Tunnel = Pick<OpenOptions, "encapsulation" | "vni" | "port" | "overlayDevice" | "overlayDeviceV6">;

export interface Overlay {
  /** For subnet.env. */
  readonly mtu: number;
  /** Kernel devices that carry the overlay when the data plane does not; empty for host-gw. */
  readonly devices: readonly string[];
  readonly own: Lease;
  /** The links over which those routes of the host go that decide what peers need; null when no route does. */
  readonly routesOver: ReadonlySet<number> | null;
  /** Null: its packets travel in no UDP of ours (host-gw, ipip), or prove themselves where they come from (wireguard). */
  readonly tunnel: Tunnel | null;
  /** What the data plane needs to know to carry this backend; null when it cannot. The ports are the agent's choice. */
  readonly dataplane: (Tunnel & Pick<OpenOptions, "underlayDevice" | "checksumV4">) | null;
  /**
   * The desired state that follows from the leases; a peer that did not change is the same object as before. Changes nothing.
   * `look` "afresh", the default, looks at the host too (our own MAC, the routing table where DirectRouting asks).
   */
  peers(leases: ReadonlyMap<string, Lease>, version: bigint, look?: Look): Promise<DesiredPeers>;
  /**
   * Makes the kernel (device, addresses, routes, neighbors, FDB entries) as the table says, also after somebody broke it. With
   * `since`, the table it was last made as, only what differs between the two is touched, and nothing else is looked at; a
   * backend may compare everything all the same.
   */
  reconcile(table: PeerTable, since?: PeerTable | null): Promise<ReconcileReport>;
  /** By peer id; a peer to which no route leads is absent. Waits for answers from the network, until the signal. */
  nextHops(peers: readonly Peer[], signal: AbortSignal): Promise<ReadonlyMap<number, PeerHop>>;
}

export type BackendFactory = (context: BackendContext) => Backend;
