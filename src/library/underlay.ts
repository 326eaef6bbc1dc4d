// The network that carries overlays: one UDP socket of this host (or, for tests, one end of a pair of memory ports), shared by
// any number of overlays with different VNIs. Owner: the program; overlays opened on it end with it.
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { z } from "zod";
import { parseIpv4 } from "../addr/ipv4.js";
import type { Ipv4, Ipv6, Mac } from "../addr/address.js";
import { isUnicastMac, parseMac } from "../addr/mac.js";
import { formatIpv6, parseIpv6 } from "../addr/ipv6.js";
import { isNativeError, toRipstopError } from "../dataplane/errors.js";
import { deviceName, invalidOptions } from "../dataplane/options.js";
import { RipstopError } from "../lib/errors.js";
import { addon } from "./addon.js";
import type { NativeFabric, NativeNetwork, NativeNetworkOptions } from "./fabric-binding.js";
import { PacketPort } from "./packet-port.js";

/** IANA's port for VXLAN; the kernel's old default, and flannel's, is 8472. */
export const VXLAN_PORT = 4789;
const MTU_DEFAULT = 1500;
const OUTER_MAX = 70;
const HEADROOM = 128 + 14;
const FRAME_STEP = 2048;
const RING_PACKETS = 1024;

const addressText = z
  .string()
  .refine((text) => parseIpv4(text) !== null || parseIpv6(text) !== null, "is no IP address");
export interface UnderlayOptions {
  /** This host's address or addresses, at most one of each family: where the peers send to. */
  readonly address: string | readonly string[];
  /** UDP port, 4789 unless said otherwise. */
  readonly port?: number | undefined;
  /** Take only what arrives on this interface. `packet`, `xdp`: the one to open; the one with the address unless said otherwise. */
  readonly device?: string | undefined;
  /** MTU of the underlay; that of the interface which has the address unless said otherwise. */
  readonly mtu?: number | undefined;
  /**
   * `udp` (`auto`): a socket, which works everywhere and lets the kernel route. `packet`, `xdp`: frames straight from the device by
   * AF_PACKET (CAP_NET_RAW) or AF_XDP (CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF), with a source port for each flow. `memory`: the
   * program itself is the wire, through `port`; no privilege needed.
   */
  readonly kind?: "auto" | "udp" | "packet" | "xdp" | "memory" | undefined;
}

const underlayOptions = z.strictObject({
  address: z.union([addressText, z.array(addressText).min(1).max(2)]),
  port: z.int().min(1, "must be 1 to 65535").max(65_535, "must be 1 to 65535").default(VXLAN_PORT),
  device: deviceName.default(""),
  mtu: z.int().min(576).max(65_535).optional(),
  kind: z
    .enum(["auto", "udp", "packet", "xdp", "memory"], { error: "must be auto, udp, packet, xdp or memory" })
    .default("auto"),
});

export class Underlay implements Disposable {
  readonly addressV4: Ipv4 | null;
  readonly addressV6: Ipv6 | null;
  readonly udpPort: number;
  readonly mtu: number;
  /** What carries: `auto` has been decided. */
  readonly kind: "udp" | "packet" | "xdp" | "memory";
  /** Where `packet` and `xdp` send; null where the kernel decides. @internal */
  readonly link: UnderlayLink | null;
  /** The wire of a memory underlay: outer frames, from and to the other underlays. Null for a socket. */
  readonly port: PacketPort | null;
  readonly #native: NativeFabric;
  #closed = false;

  private constructor(
    native: NativeFabric,
    addresses: Addresses,
    udpPort: number,
    mtu: number,
    kind: Underlay["kind"],
    link: UnderlayLink | null,
  ) {
    this.#native = native;
    this.kind = kind;
    this.link = link;
    this.addressV4 = addresses.v4;
    this.addressV6 = addresses.v6;
    this.udpPort = udpPort;
    this.mtu = mtu;
    this.port = native.port === null ? null : PacketPort.adopt(native.port);
  }

  /** Throws UNDERLAY_OPTIONS_INVALID, or what the kernel refused. */
  static open(given: UnderlayOptions): Underlay {
    const parsed = underlayOptions.safeParse(given);
    if (!parsed.success) throw invalidOptions("UNDERLAY_OPTIONS_INVALID", "underlay", parsed.error, given);
    const { port } = parsed.data;
    const kind = parsed.data.kind === "auto" ? "udp" : parsed.data.kind;
    const texts = [parsed.data.address].flat();
    const addresses = readAddresses(texts);
    const link = kind === "packet" || kind === "xdp" ? findLink(texts, parsed.data.device) : null;
    const device = link?.device ?? parsed.data.device;
    const mtu = parsed.data.mtu ?? (kind === "memory" ? MTU_DEFAULT : mtuOf(texts, link?.device));
    const opened = addon().openFabric({
      kind,
      address4: texts.find((text) => parseIpv4(text) !== null) ?? "",
      address6: texts.find((text) => parseIpv4(text) === null) ?? "",
      port,
      device,
      mtu,
      ...memoryOf(mtu, "underlay"),
    });
    if (isNativeError(opened)) throw toRipstopError(opened);
    return new Underlay(opened, addresses, port, mtu, kind, link);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** What arrived and belonged to no overlay, by drop reason; `received` is their sum. */
  strays(): { readonly received: bigint; readonly drops: Readonly<Record<string, bigint>> } {
    const layout = addon().strayCounterLayout;
    const values = new BigUint64Array(layout.length);
    this.#native.readStrays(values);
    const drops: Record<string, bigint> = {};
    for (const [index, name] of layout.entries())
      if (name.startsWith("stray.drop.")) drops[name.slice("stray.drop.".length)] = values[index] ?? 0n;
    return { received: values[layout.indexOf("stray.rx_packets")] ?? 0n, drops };
  }

  /** Idempotent; takes the overlays on it along. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    this.port?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  addNetwork(options: NativeNetworkOptions): NativeNetwork {
    const added = this.#native.addNetwork(options);
    if (isNativeError(added)) throw toRipstopError(added);
    return added;
  }
}

/** The Ethernet device that frames leave through. */
export interface UnderlayLink {
  readonly device: string;
  readonly mac: Mac;
}

/** Throws UNDERLAY_OPTIONS_INVALID when no Ethernet device has one of the addresses. */
function findLink(texts: readonly string[], device: string): UnderlayLink {
  const wanted = new Set(texts.map(canonical));
  const names = Object.entries(networkInterfaces())
    .filter(([, addresses]) => (addresses ?? []).some(({ address }) => wanted.has(canonical(address))))
    .map(([name]) => name);
  for (const name of device === "" ? names : [device]) {
    const mac = parseMac(readSys(name, "address"));
    if (mac !== null && isUnicastMac(mac)) return { device: name, mac };
  }
  throw new RipstopError(
    "UNDERLAY_OPTIONS_INVALID",
    `underlay option ${device === "" ? `address (${texts.join(", ")})` : `device (${device})`}: no Ethernet device that is up ` +
      "and has an address fits; kinds packet and xdp need one, see `ip address`",
    { op: "open" },
  );
}

interface Addresses {
  readonly v4: Ipv4 | null;
  readonly v6: Ipv6 | null;
}

function readAddresses(texts: readonly string[]): Addresses {
  const v4 = texts.map(parseIpv4).filter((address) => address !== null);
  const v6 = texts
    .filter((text) => parseIpv4(text) === null)
    .map(parseIpv6)
    .filter((address) => address !== null);
  if (v4.length > 1 || v6.length > 1) {
    throw new RipstopError(
      "UNDERLAY_OPTIONS_INVALID",
      `underlay option address (${JSON.stringify(texts)}): give at most one IPv4 and one IPv6 address`,
      { op: "open" },
    );
  }
  return { v4: v4[0] ?? null, v6: v6[0] ?? null };
}

/** Of the interface that has one of these addresses; 1500 when none has, and binding will say so. */
function mtuOf(texts: readonly string[], device?: string): number {
  if (device !== undefined) return Math.min(65_535, Number(readSys(device, "mtu")) || MTU_DEFAULT);
  const wanted = new Set(texts.map(canonical));
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (!(addresses ?? []).some(({ address }) => wanted.has(canonical(address)))) continue;
    return Math.min(65_535, Number(readSys(name, "mtu")) || MTU_DEFAULT);
  }
  return MTU_DEFAULT;
}

/** What the kernel says of a device; empty when there is none. */
function readSys(device: string, file: "address" | "mtu"): string {
  try {
    return readFileSync(`/sys/class/net/${device}/${file}`, "utf8").trim();
  } catch {
    return "";
  }
}

function canonical(text: string): string {
  const v6 = parseIpv4(text) === null ? parseIpv6(text) : null;
  return v6 === null ? text : formatIpv6(v6);
}

/** What a memory port needs to carry frames of an underlay of this MTU. @internal */
export function memoryOf(mtu: number, name: string) {
  const frameBytes = Math.ceil((mtu + OUTER_MAX + HEADROOM) / FRAME_STEP) * FRAME_STEP;
  return { name, frameBytes, ringPackets: RING_PACKETS, poison: false };
}
