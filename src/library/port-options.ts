// What a packet port may be asked to open: the schema of the options, with every wrong field named. Pure.
import { z } from "zod";
import { parseIpv4 } from "../addr/ipv4.js";
import { parseIpv6 } from "../addr/ipv6.js";
import { deviceName } from "../dataplane/options.js";
import { invalidOptions } from "../dataplane/options.js";
import type { NativeMemoryPairOptions, NativePortOptions } from "./port-binding.js";

const MTU_MIN = 68;
const MTU_MAX = 65_521;
const mtu = z.int().min(MTU_MIN, `must be at least ${MTU_MIN}`).max(MTU_MAX, `must be at most ${MTU_MAX}`);
/** Debug: frames of a batch that has ended are overwritten, so that a view that was kept too long shows. */
const poison = z.boolean().default(false);

export const ringPackets = z
  .int()
  .min(2)
  .max(16_384)
  .refine((value) => (value & (value - 1)) === 0, "must be a power of two")
  .default(256);

const made = {
  /** The device to make; it vanishes with the port. */
  device: deviceName.min(1, "is empty; name the device that is to be made"),
  mtu: mtu.default(1500),
  ipv6: z.boolean().default(false),
  poison,
};
const portOptions = z.discriminatedUnion(
  "kind",
  [
    z.strictObject({ kind: z.literal("tap"), ...made }),
    z.strictObject({ kind: z.literal("tun"), ...made }),
    z.strictObject({
      kind: z.literal("packet"),
      device: deviceName.min(1, "is empty; name an existing device"),
      poison,
    }),
    z.strictObject({
      kind: z.literal("xdp"),
      device: deviceName.min(1, "is empty; name an existing device"),
      address: z.string().refine((text) => parseIpv4(text) !== null || parseIpv6(text) !== null, "is no IP address"),
      udpPort: z.int().min(1, "must be 1 to 65535").max(65_535, "must be 1 to 65535"),
      poison,
    }),
    z.strictObject({ kind: z.literal("pcap"), replay: z.string().default(""), record: z.string().default(""), poison }),
  ],
  { error: "must be tap, tun, packet, xdp or pcap; memory ports come in pairs, from PacketPort.pair()" },
);
const memoryPairOptions = z.strictObject({
  name: z.string().max(64).default("memory"),
  frameBytes: z
    .int()
    .min(2048)
    .max(1 << 20)
    .multipleOf(2048, "must be a multiple of 2048")
    .default(2048),
  ringPackets,
  poison,
});

interface MadeDevice {
  /** The device to make; it vanishes with the port. */
  readonly device: string;
  /** 1500 unless said otherwise. */
  readonly mtu?: number | undefined;
  /** Whether the device may have IPv6 addresses of its own. */
  readonly ipv6?: boolean | undefined;
}
interface Debugged {
  /** Overwrites the frames of a batch that has ended, so that a view that was kept too long shows. */
  readonly poison?: boolean | undefined;
}
/** Makes a TAP device and is its far end: whole Ethernet frames. Needs CAP_NET_ADMIN. */
export interface TapOptions extends MadeDevice, Debugged {
  readonly kind: "tap";
}
/** The same for bare IP packets; a made-up Ethernet header stands in front. Needs CAP_NET_ADMIN. */
export interface TunOptions extends MadeDevice, Debugged {
  readonly kind: "tun";
}
/** Sees every frame an existing device receives, besides the kernel; super-packets as their segments. Needs CAP_NET_RAW. */
export interface PacketSocketOptions extends Debugged {
  readonly kind: "packet";
  readonly device: string;
}
/**
 * Takes UDP datagrams to one address and port from an existing device, by AF_XDP, before the host sees them: for protocols of
 * one's own. The port is held, so that no other program gets it. Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
 */
export interface XdpSocketOptions extends Debugged {
  readonly kind: "xdp";
  readonly device: string;
  readonly address: string;
  readonly udpPort: number;
}
/** Replays one pcapng file and records into another. Needs nothing. */
export interface PcapOptions extends Debugged {
  readonly kind: "pcap";
  readonly replay?: string | undefined;
  readonly record?: string | undefined;
}
export type PortOptions = TapOptions | TunOptions | PacketSocketOptions | XdpSocketOptions | PcapOptions;

export interface MemoryPairOptions extends Debugged {
  readonly name?: string | undefined;
  /** A frame with its headroom of 128 bytes; a multiple of 2048, which is the default. */
  readonly frameBytes?: number | undefined;
  /** Packets in flight each way; a power of two, 256 unless said otherwise. */
  readonly ringPackets?: number | undefined;
}

/** Throws PORT_OPTIONS_INVALID, naming the first wrong field, its value and what it must be. */
export function checkPortOptions(given: unknown): NativePortOptions {
  const parsed = portOptions.safeParse(given);
  if (!parsed.success) throw invalidOptions("PORT_OPTIONS_INVALID", "packet-port", parsed.error, given);
  const address = parsed.data.kind === "xdp" ? parsed.data.address : "";
  const v4 = parseIpv4(address) !== null;
  const addresses = { address4: v4 ? address : "", address6: v4 ? "" : address };
  return { device: "", mtu: 1500, ipv6: false, replay: "", record: "", udpPort: 0, ...addresses, ...parsed.data };
}

export function checkMemoryPairOptions(given: unknown): NativeMemoryPairOptions {
  const parsed = memoryPairOptions.safeParse(given);
  if (!parsed.success) throw invalidOptions("PORT_OPTIONS_INVALID", "memory-pair", parsed.error, given);
  return parsed.data;
}
