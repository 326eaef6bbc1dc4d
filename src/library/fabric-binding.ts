// The types of the addon's fabric part, as native/addon/fabric_wrap.cc and network_wrap.cc define them. underlay.ts and
// overlay.ts are its only users.
import type { NativeCaptured, NativeCaptureRequest, NativeError } from "../dataplane/binding.js";
import type { NativePort } from "./port-binding.js";

export interface NativeMemoryOptions {
  readonly name: string;
  readonly frameBytes: number;
  readonly ringPackets: number;
  readonly poison: boolean;
}

export interface NativeFabricOptions extends NativeMemoryOptions {
  readonly kind: "udp" | "packet" | "xdp" | "memory";
  /** "" where there is none. */
  readonly address4: string;
  readonly address6: string;
  readonly port: number;
  readonly device: string;
  readonly mtu: number;
}

export interface NativeNetworkOptions extends NativeMemoryOptions {
  readonly vni: number;
  readonly bridged: boolean;
  /** UDP destination port. */
  readonly port: number;
  readonly checksumV4: boolean;
  /** Outer DSCP from the inner packet. */
  readonly copyDscp: boolean;
  readonly underlayMtu: number;
  readonly learns: boolean;
  readonly floods: boolean;
  readonly fdbEntries: number;
  readonly agingSeconds: number;
  readonly kind: "tun" | "tap" | "packet" | "memory";
  readonly device: string;
  readonly mtu: number;
  readonly ipv6: boolean;
  readonly superPackets: boolean;
  /** Packets in the ring to the program; 0: nothing is punted. */
  readonly puntPackets: number;
  /** Punt the first packets of unknown flows, instead of those to unknown destinations. */
  readonly puntFlows: boolean;
  readonly flowEntries: number;
  readonly flowIdleSeconds: number;
}

export interface NetworkInspection {
  readonly tableVersion: bigint;
  /** Records in the table: a peer with several prefixes or static MACs has several. */
  readonly peers: number;
  readonly overlayKind: string;
  readonly overlay: string;
  readonly underlayKind: string;
  readonly underlay: string;
  readonly overlayKernelDrops: bigint;
  readonly underlayKernelDrops: bigint;
  readonly heartbeatAgeMs: number;
}

export interface NativeNetwork {
  /** The far end of a memory overlay. */
  readonly port: NativePort | null;
  /** What is punted, and the way back; null when nothing is. */
  readonly punts: NativePort | null;
  apply(table: Uint8Array): NativeError | null;
  readCounters(into: BigUint64Array): void;
  /** Null once closed. */
  inspect(): NetworkInspection | null;
  /** Learned MACs: address and the id of the peer, -1 for this side. */
  fdb(): ReadonlyArray<readonly [mac: string, peer: number]>;
  /** False: the frame has no flow, or too many verdicts wait for the worker. */
  decide(frame: Uint8Array, allow: boolean): boolean;
  /** As NativeDataplane has them. */
  captureStart(request: NativeCaptureRequest): NativeError | null;
  captureRead(into: Uint8Array): NativeCaptured;
  captureStop(): void;
  close(): void;
}

export interface NativeFabric {
  /** The far end of a memory underlay. */
  readonly port: NativePort | null;
  addNetwork(options: NativeNetworkOptions): NativeNetwork | NativeError;
  readStrays(into: BigUint64Array): void;
  close(): void;
}

export interface FabricBinding {
  readonly networkCounterLayout: readonly string[];
  readonly strayCounterLayout: readonly string[];
  openFabric(options: NativeFabricOptions): NativeFabric | NativeError;
}
