// What a packet port may be asked to open: the schema of the options, with every wrong field named. Pure.
import { z } from "zod";
import { deviceName } from "../dataplane/options.js";
import { invalidOptions } from "../dataplane/options.js";
import type { NativeMemoryPairOptions, NativePortOptions } from "./port-binding.js";

const MTU_MIN = 68;
const MTU_MAX = 65_521;
const mtu = z.int().min(MTU_MIN, `must be at least ${MTU_MIN}`).max(MTU_MAX, `must be at most ${MTU_MAX}`);
/** Debug: frames of a batch that has ended are overwritten, so that a view that was kept too long shows. */
const poison = z.boolean().default(false);

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
    z.strictObject({ kind: z.literal("pcap"), replay: z.string().default(""), record: z.string().default(""), poison }),
  ],
  { error: "must be tap, tun, packet or pcap; memory ports come in pairs, from PacketPort.pair()" },
);
const memoryPairOptions = z.strictObject({
  name: z.string().max(64).default("memory"),
  frameBytes: z
    .int()
    .min(2048)
    .max(1 << 20)
    .multipleOf(2048, "must be a multiple of 2048")
    .default(2048),
  ringPackets: z
    .int()
    .min(2)
    .max(16_384)
    .refine((value) => (value & (value - 1)) === 0, "must be a power of two")
    .default(256),
  poison,
});

/**
 * - `tap`: makes a TAP device and is its far end: whole Ethernet frames. Needs CAP_NET_ADMIN.
 * - `tun`: the same for bare IP packets; a made-up Ethernet header stands in front. Needs CAP_NET_ADMIN.
 * - `packet`: sees every frame an existing device receives, besides the kernel. Needs CAP_NET_RAW.
 * - `pcap`: replays one pcapng file and records into another. Needs nothing.
 */
export type PortOptions = z.input<typeof portOptions>;
export type MemoryPairOptions = z.input<typeof memoryPairOptions>;

/** Throws PORT_OPTIONS_INVALID, naming the first wrong field, its value and what it must be. */
export function checkPortOptions(given: unknown): NativePortOptions {
  const parsed = portOptions.safeParse(given);
  if (!parsed.success) throw invalidOptions("PORT_OPTIONS_INVALID", "packet-port", parsed.error, given);
  return { device: "", mtu: 1500, ipv6: false, replay: "", record: "", ...parsed.data };
}

export function checkMemoryPairOptions(given: unknown): NativeMemoryPairOptions {
  const parsed = memoryPairOptions.safeParse(given);
  if (!parsed.success) throw invalidOptions("PORT_OPTIONS_INVALID", "memory-pair", parsed.error, given);
  return parsed.data;
}
