// The types of the native addon, as native/addon defines them. Only native.ts loads it; test/addon checks that both agree.
// Five calls: open, apply, readCounters, inspect, close. JavaScript never sees a packet on the forwarding path.
import type { NativeNetlink } from "../host/netlink-binding.js";

export type PortKind = "tap" | "xdp" | "packet" | "udp" | "tun" | "memory";

/** What open() needs. Checked in TypeScript (dataplane.ts), asserted in C++. */
export interface OpenOptions {
  readonly encapsulation: "vxlan" | "udp";
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** The kernel device that stays programmed and takes over: flannel.<VNI>. Empty for the udp format. */
  readonly overlayDevice: string;
  /** The second device of a dual-stack VXLAN overlay, flannel-v6.<VNI>; empty when overlayDevice carries all there is. */
  readonly overlayDeviceV6: string;
  /** The underlay network device. */
  readonly underlayDevice: string;
  readonly overlayPort: "auto" | PortKind;
  readonly underlayPort: "auto" | PortKind;
  /** Forces features off, for tests and for kernels that lie: "tunnel-gso", "udp-super-packets", "tcx", "xdp-native", ... */
  readonly disable: readonly string[];
  readonly checksumV4: boolean;
  readonly workers: number;
  /** Worker i runs on cpus[i % length] only; empty: wherever the system lets it. */
  readonly cpus: readonly number[];
  /** Spin this many microseconds before blocking; 0: block at once. */
  readonly busyPollUs: number;
}

/** What the native side answers instead of throwing (native/base/result.h). errors.ts makes the JS error. */
export interface NativeError {
  readonly code: string;
  readonly errno: number;
  readonly op: string;
  readonly detail: string;
}

export interface PortReport {
  readonly side: "overlay" | "underlay";
  readonly kind: PortKind;
  /** What was opened and in which mode. */
  readonly description: string;
  /** Why this port was chosen. */
  readonly reason: string;
  readonly rxKernelDrops: bigint;
}

/** The rings that a port shares with the kernel for one queue of a device, in frames. */
export interface QueueReport {
  readonly device: string;
  readonly id: number;
  /** As in the port's description. */
  readonly mode: string;
  /** Of each ring. */
  readonly ringSize: number;
  /** Received and not yet read. */
  readonly rxWaiting: number;
  /** What the kernel can still receive into. */
  readonly rxFree: number;
  /** What the kernel has not taken yet. */
  readonly txWaiting: number;
}

export interface WorkerPortReport {
  readonly side: PortReport["side"];
  readonly kind: PortKind;
  /** Of workers that share a device whose drops the kernel does not tell apart, the first has them all. */
  readonly rxKernelDrops: bigint;
  /** Frames handed to the kernel and not completed. */
  readonly txPending: number;
  /** Empty for ports without rings. */
  readonly queues: readonly QueueReport[];
}

/** Of one worker alone. */
export interface WorkerReport {
  readonly heartbeatAgeMs: number;
  readonly framesTotal: number;
  readonly framesFree: number;
  readonly ports: readonly WorkerPortReport[];
}

export interface Inspection {
  readonly running: boolean;
  readonly tableVersion: bigint;
  readonly peers: number;
  readonly ports: readonly PortReport[];
  /** "tcx", "tc", "xdp" or "none": how traffic is steered to us. */
  readonly steering: string;
  /** Milliseconds since the oldest worker wrote its heartbeat. */
  readonly heartbeatAgeMs: number;
  readonly workers: number;
  readonly framesTotal: number;
  readonly framesFree: number;
  /** Empty from a data plane of a version that does not tell its workers apart. */
  readonly perWorker: readonly WorkerReport[];
  readonly pathMtu: PathMtuReport;
}

/** What routers told us about the paths to our peers (docs/decisions/0090). */
export interface PathMtuReport {
  /** "on", or why nothing is heard. */
  readonly listener: string;
  /** Too-big messages that arrived, and those of them that were about our packets and believed. */
  readonly heard: bigint;
  readonly learned: bigint;
  /** Peers whose path is known to be smaller now. */
  readonly pathsLowered: number;
}

export interface NativeCaptureRequest {
  /** Bits of capture::Point (native/capture/session.h). */
  readonly points: number;
  readonly snapBytes: number;
  /** struct sock_filter, one after the other; empty: every packet. */
  readonly filter: Uint8Array;
}

export interface NativeCaptured {
  readonly bytes: number;
  /** Packets that the filter let through since the start, and those of them for which the ring had no room. */
  readonly matched: number;
  readonly lost: number;
}

export interface NativeDataplane {
  /** Adopts a whole table in the flat form of native/fwd/table_format.h. */
  apply(table: Uint8Array): NativeError | null;
  /**
   * Fills `into`: counterLayout.length values, summed over workers; or 1 + workers times as many, the sums and then the
   * same of each worker alone.
   */
  readCounters(into: BigUint64Array): void;
  inspect(): Inspection;
  /**
   * Of each peer in the newest table, seven numbers: id; packets, bytes and milliseconds since the last for what was sent; the
   * same for what was received. -1 milliseconds: never.
   */
  readPeers(): Float64Array;
  /** Begins to copy packets; an earlier capture ends. */
  captureStart(request: NativeCaptureRequest): NativeError | null;
  /** Moves whole records (native/capture/session.h) into `into`. */
  captureRead(into: Uint8Array): NativeCaptured;
  captureStop(): void;
  /** Idempotent. Steering goes first, so packets take the kernel path from that moment. */
  close(): void;
}

export interface Binding {
  readonly borderVersion: number;
  /** rtnetlink; src/host/netlink.ts is its face. */
  readonly netlink: NativeNetlink;
  /** Names of the counters in order, e.g. "encap.rx_packets", "encap.drop.no_peer", "decap.tx_bytes", "underlay.rx_frames". */
  readonly counterLayout: readonly string[];
  /** Drop reasons with their sentences, for docs, metrics and people. */
  readonly dropReasons: ReadonlyArray<{ readonly label: string; readonly sentence: string }>;
  /** sd_notify(3): tells the service manager, whose socket is named, something like "READY=1". */
  notify(socket: string, state: string): NativeError | null;
  open(options: OpenOptions): NativeDataplane | NativeError;
  /**
   * The whole process, for good: no capability, no new privileges, a short list of system calls. Afterwards nothing can be
   * opened any more.
   */
  confineProcess(): NativeError | null;
  /** The user at the other end of a Unix socket when it connected; null when the kernel does not say. */
  peerUid(fd: number): number | null;
}
