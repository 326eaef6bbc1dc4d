// A network segment in memory: underlays of one process, joined by their outer IP addresses. Real native workers, real wire
// formats, no root and no device. Faults are chosen by the test: a function sees every outer frame and says what becomes of
// it. Owner: a test. Thread: the one that made it.
import { parseIpv4 } from "../addr/ipv4.js";
import { ipv4ToBytes } from "../addr/ipv4.js";
import { ipv6ToBytes, parseIpv6 } from "../addr/ipv6.js";
import { RipstopError } from "../lib/errors.js";
import type { PacketPort } from "../library/packet-port.js";
import { Underlay, type UnderlayOptions } from "../library/underlay.js";

const ETHERNET_BYTES = 14;

export type Fate = "deliver" | "drop" | "duplicate";

export interface MemoryLanOptions {
  /** Of the segment; 1500 unless said otherwise. */
  readonly mtu?: number;
  /** What becomes of an outer frame (Ethernet, IP, UDP, ...). It may be changed in place. Everything arrives unless said otherwise. */
  readonly fault?: (frame: Uint8Array) => Fate;
}

export interface LanCounters {
  /** Frames that underlays sent. */
  readonly sent: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly duplicated: number;
  /** To an address that nobody on this segment has. */
  readonly unknown: number;
  /** The receiving underlay's ring was full. */
  readonly overrun: number;
}

export class MemoryLan implements Disposable {
  readonly #mtu: number;
  #fault: (frame: Uint8Array) => Fate;
  readonly #members = new Map<string, Underlay>();
  readonly #ending = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #counts = { sent: 0, delivered: 0, dropped: 0, duplicated: 0, unknown: 0, overrun: 0 };

  constructor({ mtu = 1500, fault = () => "deliver" }: MemoryLanOptions = {}) {
    this.#mtu = mtu;
    this.#fault = fault;
  }

  /** An underlay of this address on the segment; give it to Overlay.open(). */
  join(address: UnderlayOptions["address"], options: { readonly port?: number } = {}): Underlay {
    const underlay = Underlay.open({ address, mtu: this.#mtu, kind: "memory", ...options });
    for (const text of [address].flat()) {
      const name = nameOf(text);
      if (this.#members.has(name)) {
        underlay.close();
        throw new RipstopError("LAN_ADDRESS_TAKEN", `${text} is on this segment already; choose another address`);
      }
      this.#members.set(name, underlay);
    }
    this.#running.push(this.#carry(underlay.port as PacketPort));
    return underlay;
  }

  /** From now on. */
  setFault(fault: (frame: Uint8Array) => Fate): void {
    this.#fault = fault;
  }

  counters(): LanCounters {
    return { ...this.#counts };
  }

  /** Closes the underlays, and with them their overlays. Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#running);
    for (const underlay of this.#members.values()) underlay.close();
    this.#members.clear();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  async #carry(port: PacketPort): Promise<void> {
    for await (const batch of port.batches({ signal: this.#ending.signal })) {
      const leaving = new Map<PacketPort, Uint8Array[]>();
      for (const packet of batch) {
        const frame = packet.copy();
        this.#counts.sent++;
        const fate = this.#fault(frame);
        if (fate === "drop") this.#counts.dropped++;
        const to = fate === "drop" ? undefined : this.#members.get(destinationOf(frame))?.port;
        if (to === undefined || to === null || to.closed) {
          if (fate !== "drop") this.#counts.unknown++;
          continue;
        }
        if (fate === "duplicate") this.#counts.duplicated++;
        const frames = leaving.get(to) ?? [];
        frames.push(...(fate === "duplicate" ? [frame, frame] : [frame]));
        leaving.set(to, frames);
      }
      port.release();
      for (const [to, frames] of leaving) {
        const accepted = to.sendCopies(frames);
        this.#counts.delivered += accepted;
        this.#counts.overrun += frames.length - accepted;
      }
    }
  }
}

function nameOf(text: string): string {
  const v4 = parseIpv4(text);
  const v6 = v4 === null ? parseIpv6(text) : null;
  return hex(v4 !== null ? ipv4ToBytes(v4) : ipv6ToBytes(v6 as NonNullable<typeof v6>));
}

function destinationOf(frame: Uint8Array): string {
  const v4 = (frame[ETHERNET_BYTES] ?? 0) >> 4 === 4;
  return hex(frame.subarray(ETHERNET_BYTES + (v4 ? 16 : 24), ETHERNET_BYTES + (v4 ? 20 : 40)));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
