// An overlay network in this process, programmed whole: say who the peers are, and the worker carries packets. Routed (IP by
// prefix) or bridged (Ethernet by MAC, learning). Needs no kernel VXLAN device and meets those of others on the wire. Packets
// never come near JavaScript, except through the `port` of a memory overlay. Thread: the one that opened it.
import type { Mac } from "../addr/address.js";
import { formatPrefix } from "../addr/prefix.js";
import type { CapturedPacket } from "../dataplane/capture-records.js";
import { encodePeerTable } from "../dataplane/codec.js";
import {
  type Counters,
  type LaneCounters,
  nameCounters,
  nameLane,
  unaccounted,
  unaccountedLane,
} from "../dataplane/counters.js";
import { toRipstopError } from "../dataplane/errors.js";
import type { NextHop } from "../dataplane/peer-table.js";
import { Netlink } from "../host/netlink.js";
import { RipstopError } from "../lib/errors.js";
import { addon } from "./addon.js";
import { type CaptureOptions, type CaptureStatistics, readCapture } from "./capture.js";
import { overlayMtu } from "./codec/mtu.js";
import type { NativeNetwork, NetworkInspection } from "./fabric-binding.js";
import {
  type CheckedOverlayOptions,
  checkOverlayOptions,
  defaultVtepMac,
  type OverlayOptions,
  type OverlayPeer,
  type PeerRecords,
  peerRecords,
} from "./overlay-options.js";
import { NextHops } from "./next-hops.js";
import { PacketPort } from "./packet-port.js";
import { memoryOf, Underlay, type UnderlayOptions } from "./underlay.js";

/** What replication and learning did; all zero in a routed overlay. */
export interface BridgeCounters {
  /** Frames made beside the original: one for each peer but one that a frame was flooded to. */
  readonly copies: bigint;
  readonly flooded: bigint;
  readonly learned: bigint;
  readonly moved: bigint;
  readonly evicted: bigint;
}

export interface OverlayCounters extends Counters {
  /** The way up to the program: rx is what encap punted, tx what found room in the queue. */
  readonly punt: LaneCounters;
  readonly bridge: BridgeCounters;
}

export interface OverlayInspection extends NetworkInspection {
  readonly vni: number;
  readonly mode: "routed" | "bridged";
  readonly mtu: number;
  readonly vtepMac: Mac;
  /** Null for a memory overlay. */
  readonly device: string | null;
}

export interface LearnedAddress {
  readonly mac: string;
  /** The peer's underlay address; null for this side. */
  readonly underlay: string | null;
}

const BRIDGE_COUNTERS = ["copies", "flooded", "learned", "moved", "evicted"] as const;

export class Overlay implements Disposable {
  readonly vni: number;
  readonly mode: "routed" | "bridged";
  readonly mtu: number;
  readonly vtepMac: Mac;
  readonly underlay: Underlay;
  /** The device's name; null for a memory overlay. */
  readonly device: string | null;
  /** The program's end of a memory overlay: inner frames. Null where a device stands. */
  readonly port: PacketPort | null;
  /**
   * What the worker cannot decide (option `punt`): receive it here, and send back what is to be carried. What the program did
   * before it sent a packet (`apply()`, `decide()`) is in force for that packet, and no packet is punted twice. Otherwise null.
   */
  readonly punts: PacketPort | null;
  readonly #options: CheckedOverlayOptions;
  readonly #native: NativeNetwork;
  readonly #ownsUnderlay: boolean;
  readonly #ids = new Map<string, number>();
  readonly #values: BigUint64Array;
  readonly #nextHops: NextHops | null;
  #records: PeerRecords = { peers: [], nextHops: new Map() };
  /** Why the table with the next hops in it was refused. */
  #refused: RipstopError | null = null;
  #version = 0n;
  #closed = false;

  private constructor(underlay: Underlay, options: CheckedOverlayOptions, ownsUnderlay: boolean) {
    this.#options = options;
    this.#ownsUnderlay = ownsUnderlay;
    this.underlay = underlay;
    this.vni = options.vni;
    this.mode = options.mode;
    const outerFamily = underlay.addressV4 === null ? 6 : 4;
    this.mtu = options.mtu ?? overlayMtu(underlay.mtu, { encapsulation: "vxlan", outerFamily });
    this.vtepMac = options.vtepMac ?? defaultVtepMac(ownUnderlay(underlay), options.vni);
    const kind = choosePort(options);
    this.device = kind === "memory" ? null : (options.device ?? `rs${options.vni}`);
    this.#native = underlay.addNetwork({
      vni: options.vni,
      bridged: options.mode === "bridged",
      port: underlay.udpPort,
      checksumV4: options.checksumV4,
      copyDscp: options.copyDscp,
      underlayMtu: underlay.mtu,
      learns: options.learn,
      floods: options.flood,
      fdbEntries: options.fdbEntries,
      agingSeconds: options.agingSeconds,
      kind,
      device: this.device ?? "",
      mtu: this.mtu,
      ipv6: options.ipv6 || options.prefixes.some(({ family }) => family === 6),
      superPackets: kind === "tun",
      puntPackets: options.punt === undefined ? 0 : options.puntQueue,
      puntFlows: options.punt === "flows",
      flowEntries: options.flowEntries,
      flowIdleSeconds: options.flowIdleSeconds,
      ...memoryOf(this.mtu, `overlay ${options.vni}`),
    });
    this.port = this.#native.port === null ? null : PacketPort.adopt(this.#native.port);
    this.punts = this.#native.punts === null ? null : PacketPort.adopt(this.#native.punts);
    this.#nextHops =
      underlay.link === null ? null : new NextHops(underlay.link.device, republisherOf(new WeakRef(this)));
    this.#values = new BigUint64Array(addon().networkCounterLayout.length);
  }

  /** `underlay`: an open one, to be shared, or options for one of its own. Carries nothing before the first apply(). */
  static open(given: OverlayOptions & { readonly underlay: Underlay | UnderlayOptions }): Overlay {
    const { underlay, ...rest } = given;
    const options = checkOverlayOptions(rest);
    choosePort(options);
    if (underlay instanceof Underlay) return new Overlay(underlay, options, false);
    const own = Underlay.open(underlay);
    try {
      return new Overlay(own, options, true);
    } catch (error) {
      own.close();
      throw error;
    }
  }

  /**
   * Who the peers are, all of them: what is not listed is gone. The table before stays in force when this one is refused. Over an
   * underlay of kind `packet` or `xdp` a peer is in force once its next hop is known (`settled()`).
   */
  apply(peers: readonly OverlayPeer[]): void {
    this.#opened("apply");
    const bridged = this.mode === "bridged";
    const before = this.#records;
    this.#records = peerRecords(peers, { vni: this.vni, bridged, ids: this.#ids });
    this.#refused = null;
    try {
      this.#publish();
    } catch (error) {
      this.#records = before;
      throw error;
    }
    this.#nextHops?.follow(this.#records.peers.map(({ underlay }) => underlay));
  }

  /**
   * Resolves when all peers that were applied are in force, with the addresses of those whose next hop cannot be found (kinds
   * `packet` and `xdp`; the kernel is asked again every few seconds). At once for other underlays. Rejects when the table is
   * refused with the next hops in it, as apply() throws otherwise; the one before stays in force.
   */
  async settled(): Promise<readonly string[]> {
    await this.#nextHops?.settled();
    if (this.#refused !== null) throw this.#refused;
    return this.#nextHops?.unresolved ?? [];
  }

  /** False once closed. @internal */
  republish(changed: boolean): boolean {
    if (this.closed) return false;
    try {
      if (changed) this.#publish();
    } catch (error) {
      if (!(error instanceof RipstopError)) throw error;
      this.#refused = error;
    }
    return true;
  }

  #publish(): void {
    const { peers, nextHops } = this.#inForce();
    const table = encodePeerTable(
      {
        version: ++this.#version,
        local: {
          prefixes: this.#options.prefixes,
          underlayV4: this.underlay.addressV4,
          underlayV6: this.underlay.addressV6,
          underlayMac: this.underlay.link?.mac ?? null,
          vtepMac: this.vtepMac,
          overlayMtu: this.mtu,
        },
        peers,
      },
      nextHops,
    );
    const refused = this.#native.apply(table);
    if (refused !== null) throw toRipstopError(refused);
  }

  /** The records, each with its next hop; without those that have none. */
  #inForce(): PeerRecords {
    const hops = this.#nextHops;
    if (hops === null) return this.#records;
    const nextHops = new Map<number, NextHop>();
    const peers = this.#records.peers.filter(({ id, underlay }) => {
      const hop = hops.hop(underlay);
      if (hop === null) return false;
      const given = this.#records.nextHops.get(id)?.pathMtu ?? hop.pathMtu;
      nextHops.set(id, { mac: hop.mac, pathMtu: Math.min(given, hop.pathMtu) });
      return true;
    });
    return { peers, nextHops };
  }

  /**
   * What becomes of the flow that a frame of this side belongs to (same addresses, protocol and ports; of what is not IP, same
   * stations and type; all fragments between two hosts are one flow). `allow`: the worker carries it without asking again.
   * `deny`: dropped as `denied`. False when the frame belongs to no flow, or when more than a thousand verdicts wait for the
   * worker: nothing has changed then. Throws OVERLAY_NO_FLOWS without `punt: "flows"`.
   */
  decide(frame: Uint8Array, verdict: "allow" | "deny"): boolean {
    this.#opened("decide");
    if (this.#options.punt !== "flows") {
      throw new RipstopError("OVERLAY_NO_FLOWS", 'this overlay does not ask about flows; open it with punt: "flows"', {
        op: "decide",
      });
    }
    return this.#native.decide(frame, verdict === "allow");
  }

  /** Gives the device addresses ("10.42.1.1/16") and routes to it. Rejects with NETLINK_REFUSED. Needs CAP_NET_ADMIN. */
  async configure({
    addresses = [],
    routes = [],
  }: {
    readonly addresses?: readonly string[];
    readonly routes?: readonly string[];
  }): Promise<void> {
    this.#opened("configure");
    if (this.device === null) {
      throw new RipstopError("OVERLAY_NO_DEVICE", "a memory overlay has no device to configure; use its port", {
        op: "configure",
      });
    }
    const netlink = Netlink.open({ binding: addon().netlink });
    try {
      const linkIndex = (await netlink.link(this.device))?.index ?? 0;
      for (const prefix of addresses) await netlink.applyOne({ verb: "replace", object: "address", linkIndex, prefix });
      for (const destination of routes)
        await netlink.applyOne({ verb: "replace", object: "route", destination, linkIndex, scope: 253 });
    } finally {
      netlink.close();
    }
  }

  /** Packets and bytes both ways, and every drop by its reason. Zero once closed. */
  counters(): OverlayCounters {
    const layout = addon().networkCounterLayout;
    this.#native.readCounters(this.#values);
    const bridge = Object.fromEntries(
      BRIDGE_COUNTERS.map((name) => [name, this.#values[layout.indexOf(`bridge.${name}`)] ?? 0n]),
    ) as unknown as BridgeCounters;
    return { ...nameCounters(layout, this.#values), punt: nameLane("punt", layout, this.#values), bridge };
  }

  /** Null once closed. */
  inspect(): OverlayInspection | null {
    const seen = this.#native.inspect();
    if (seen === null) return null;
    const { vni, mode, mtu, vtepMac, device } = this;
    return { ...seen, vni, mode, mtu, vtepMac, device };
  }

  /** Bridged: what has been learned. Stops the worker for a moment: for people and tests, not for every packet. */
  learned(): readonly LearnedAddress[] {
    const names = new Map([...this.#ids].map(([name, id]) => [id, name]));
    return this.#native.fdb().map(([mac, peer]) => ({ mac, underlay: names.get(peer) ?? null }));
  }

  /**
   * Copies of what the overlay receives and sends, as it comes, until the signal or close(). `drop` shows what a routed overlay
   * drops. A reader that is too slow loses packets, and the statistics say how many; the overlay never waits.
   */
  async *capture(options: CaptureOptions = {}): AsyncGenerator<CapturedPacket, CaptureStatistics, void> {
    this.#opened("capture");
    return yield* readCapture(this.#native, options, () => this.closed);
  }

  get closed(): boolean {
    return this.#closed || this.underlay.closed;
  }

  /** Idempotent. The device goes, and the underlay too when it was opened for this overlay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#nextHops?.close();
    this.#native.close();
    this.port?.close();
    this.punts?.close();
    if (this.#ownsUnderlay) this.underlay.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** "vni 42 routed 10.42.1.0/24", for logs. */
  toString(): string {
    return ["vni", this.vni, this.mode, ...this.#options.prefixes.map(formatPrefix)].join(" ");
  }

  #opened(op: string): void {
    if (!this.closed) return;
    throw new RipstopError("OVERLAY_CLOSED", `${op} on a closed overlay; open a new one`, { op });
  }
}

/** Outside the class, so that it holds nothing but the weak reference: an overlay that was forgotten may be collected. */
function republisherOf(overlay: WeakRef<Overlay>): (changed: boolean) => boolean {
  return (changed) => overlay.deref()?.republish(changed) ?? false;
}

/** What the law `rx + copies = tx + punts + replies + drops` leaves unexplained, over both directions; 0n at rest. */
export function unaccountedOverlay(counters: OverlayCounters): bigint {
  const { encap, decap, answer } = unaccounted(counters);
  return encap + counters.bridge.copies + decap + answer + unaccountedLane(counters.punt);
}

function choosePort({ mode, port, device }: CheckedOverlayOptions): "tun" | "tap" | "packet" | "memory" {
  const natural = mode === "routed" ? "tun" : "tap";
  if (port === "auto") return natural;
  if (port === "memory" || port === natural) return port;
  if (port === "packet" && mode === "bridged" && device !== undefined) return port;
  throw new RipstopError(
    "OVERLAY_OPTIONS_INVALID",
    `overlay option port (${port}): a ${mode} overlay takes auto, ${natural}${mode === "bridged" ? ", packet with a device" : ""} or memory`,
    { op: "open" },
  );
}

function ownUnderlay({ addressV4, addressV6 }: Underlay): Parameters<typeof defaultVtepMac>[0] {
  return addressV4 !== null
    ? { family: 4, address: addressV4 }
    : { family: 6, address: addressV6 as NonNullable<typeof addressV6> };
}
