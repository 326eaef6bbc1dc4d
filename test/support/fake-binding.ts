// A native addon without the native part: it carries no packet, but it keeps the border's promises (errors as values, close
// idempotent, use after close is a bug) so that everything above binding.ts can be tested without root.
import assert from "node:assert/strict";
import type {
  Binding,
  Inspection,
  NativeCaptured,
  NativeDataplane,
  NativeError,
  OpenOptions,
} from "../../src/dataplane/binding.js";
import { BORDER_VERSION } from "../../src/dataplane/native.js";

const LANE = [
  "rx_packets",
  "rx_bytes",
  "rx_frames",
  "rx_batches",
  "tx_packets",
  "tx_bytes",
  "tx_frames",
  "punts",
  "replies",
];
const DROPS = [
  { label: "unknown_peer", sentence: "The outer source is not a leased peer's public address." },
  { label: "no_peer", sentence: "No peer holds the inner destination." },
];

const NO_NETLINK: NativeError = { code: "NETLINK_OPEN_FAILED", errno: 93, op: "socket(NETLINK_ROUTE)", detail: "fake" };

export class FakeNative implements NativeDataplane {
  readonly options: OpenOptions;
  readonly tables: Uint8Array[] = [];
  refuse: NativeError | null = null;
  closed = 0;
  captures = 0;

  constructor(options: OpenOptions) {
    this.options = options;
  }

  apply(table: Uint8Array): NativeError | null {
    assert.equal(this.closed, 0, "apply after close");
    if (this.refuse === null) this.tables.push(table.slice());
    return this.refuse;
  }

  /** Counter number i reads i + 1. */
  readCounters(into: BigUint64Array): void {
    assert.equal(this.closed, 0, "readCounters after close");
    for (let i = 0; i < into.length; i++) into[i] = BigInt(i + 1);
  }

  inspect(): Inspection {
    const table = this.tables.at(-1);
    const view = table === undefined ? null : new DataView(table.buffer, table.byteOffset, table.byteLength);
    return {
      running: this.closed === 0,
      tableVersion: view?.getBigUint64(8, true) ?? 0n,
      peers: view?.getUint32(16, true) ?? 0,
      ports: [],
      steering: "none",
      heartbeatAgeMs: 1,
      workers: this.options.workers,
      framesTotal: 64,
      framesFree: 64,
      perWorker: [],
      pathMtu: { listener: "on", heard: 0n, learned: 0n, pathsLowered: 0 },
    };
  }

  readPeers(): Float64Array {
    return Float64Array.of(1, 10, 1000, 5, 20, 2000, -1);
  }

  captureStart(): NativeError | null {
    this.captures++;
    return null;
  }

  captureRead(into: Uint8Array): NativeCaptured {
    into.fill(7, 0, 40);
    return { bytes: 40, matched: 2, lost: 1 };
  }

  captureStop(): void {
    this.captures--;
  }

  close(): void {
    this.closed++;
  }
}

export class FakeBinding implements Binding {
  readonly borderVersion = BORDER_VERSION;
  readonly counterLayout = ["encap", "decap", "answer"].flatMap((lane) => [
    ...LANE.map((name) => `${lane}.${name}`),
    ...DROPS.map(({ label }) => `${lane}.drop.${label}`),
  ]);
  readonly dropReasons = DROPS;
  readonly opened: FakeNative[] = [];
  refuse: NativeError | null = null;
  readonly netlink = {
    openSocket: (): NativeError => NO_NETLINK,
    openEvents: (): NativeError => NO_NETLINK,
  };

  onOpen: () => void = () => {};
  confined = 0;
  peer: number | null = process.getuid?.() ?? null;

  confineProcess(): null {
    this.confined++;
    return null;
  }

  peerUid(): number | null {
    return this.peer;
  }

  notify(): NativeError | null {
    return null;
  }

  open(options: OpenOptions): NativeDataplane | NativeError {
    if (this.refuse !== null) return this.refuse;
    this.onOpen();
    const native = new FakeNative(options);
    this.opened.push(native);
    return native;
  }
}

export function openOptions(changes: Partial<OpenOptions> = {}): OpenOptions {
  return {
    encapsulation: "vxlan",
    vni: 1,
    port: 8472,
    overlayDevice: "flannel.1",
    overlayDeviceV6: "",
    underlayDevice: "eth0",
    overlayPort: "auto",
    underlayPort: "auto",
    disable: [],
    checksumV4: false,
    workers: 1,
    cpus: [],
    busyPollUs: 0,
    ...changes,
  };
}
