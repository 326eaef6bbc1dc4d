// The types of the addon's port part, as native/addon/exchange_wrap.cc defines them. packet-port.ts is its only user.
import type { NativeError } from "../dataplane/binding.js";

/** 32-bit words of one descriptor (native/library/exchange.h, struct Descriptor). */
export const DESCRIPTOR_WORDS = 4;
export const OFFSET = 0;
export const LENGTH = 1;
export const ROOM = 2;
export const EPOCH = 3;
/** Packets in a batch. */
export const BATCH_MAX = 64;

export interface NativePortOptions {
  readonly kind: string;
  readonly device: string;
  readonly mtu: number;
  readonly ipv6: boolean;
  readonly replay: string;
  readonly record: string;
  /** "" where there is none; kind xdp. */
  readonly address4: string;
  readonly address6: string;
  readonly udpPort: number;
  /** Overwrites the frames of a batch that ends. */
  readonly poison: boolean;
}

export interface NativeMemoryPairOptions {
  readonly name: string;
  readonly frameBytes: number;
  readonly ringPackets: number;
  readonly poison: boolean;
}

export interface PortInspection {
  readonly kind: string;
  readonly description: string;
  /** The longest frame the port sends, Ethernet header included. */
  readonly frameBytesMax: number;
  /** Frames the kernel dropped because nobody received them in time. */
  readonly rxKernelDrops: bigint;
  readonly framesTotal: number;
  readonly framesFree: number;
  /** Packets of the current batch that have neither been sent nor released. */
  readonly held: number;
}

export interface NativePort {
  /** Null where the runtime allows no external buffers; detached by close(). */
  readonly arena: ArrayBuffer | null;
  readonly descriptors: ArrayBuffer | null;
  receive(max: number): number;
  allocate(wanted: number): number;
  send(to?: NativePort): number;
  release(): void;
  readCounters(into: BigUint64Array): void;
  /** Null once closed. */
  inspect(): PortInspection | null;
  /** `ready` of the first call is called once for each call, when there is something to receive. */
  wait(ready: () => void): NativeError | null;
  /** Whether the next call of `ready` keeps the process alive. */
  ref(alive: boolean): void;
  close(): void;
}

export interface PortBinding {
  readonly portCounterLayout: readonly string[];
  openPort(options: NativePortOptions): NativePort | NativeError;
  openMemoryPair(options: NativeMemoryPairOptions): readonly [NativePort, NativePort] | NativeError;
}
