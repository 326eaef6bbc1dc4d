// What an overlay may be asked to be, and its peers: schemas, and the peer table that follows from them. Pure.
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Mac, Prefix } from "../addr/address.js";
import { parseIpv4 } from "../addr/ipv4.js";
import { parseIpv6 } from "../addr/ipv6.js";
import { isUnicastMac, macFromBytes, parseMac } from "../addr/mac.js";
import { parsePrefix } from "../addr/prefix.js";
import type { EncodablePeer } from "../dataplane/codec.js";
import { deviceName, invalidOptions } from "../dataplane/options.js";
import type { NextHop } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { formatUnderlay } from "../host/text.js";
import { ringPackets } from "./port-options.js";

const NO_MAC = "00:00:00:00:00:00" as Mac;

const parsed = <T>(parse: (text: string) => T | null, remedy: string) =>
  z.string(remedy).transform((text, context) => {
    const value = parse(text);
    if (value !== null) return value;
    context.addIssue({ code: "custom", message: remedy });
    return z.NEVER;
  });
const prefix = parsed(parsePrefix, "must be a prefix such as 10.42.1.0/24");
const unicastMac = parsed((text) => {
  const mac = parseMac(text);
  return mac !== null && isUnicastMac(mac) ? mac : null;
}, "must be a unicast MAC address such as 02:00:00:00:00:01");
const underlayAddress = parsed<UnderlayAddress>((text) => {
  const v4 = parseIpv4(text);
  if (v4 !== null) return { family: 4, address: v4 };
  const v6 = parseIpv6(text);
  return v6 === null ? null : { family: 6, address: v6 };
}, "must be an IP address");

export interface OverlayOptions {
  /** VXLAN network identifier, 0 to 16777215; one overlay for each on an underlay. */
  readonly vni: number;
  /** `routed` (the default): IP packets by prefix. `bridged`: Ethernet frames by MAC address. */
  readonly mode?: "routed" | "bridged" | undefined;
  /**
   * `tun` (routed), `tap` (bridged): a device that is made. `packet` (bridged): a device that exists, such as one end of a veth;
   * the host must leave its frames alone (no address on it). `memory`: the program itself, through `port`. `auto`: tun or tap.
   */
  readonly port?: "auto" | "tun" | "tap" | "packet" | "memory" | undefined;
  /** The device to make; `rs` and the VNI unless said otherwise. It vanishes with the overlay. With `packet`: the one to use. */
  readonly device?: string | undefined;
  /** The largest inner packet; what the underlay leaves unless said otherwise. */
  readonly mtu?: number | undefined;
  /** Routed: the inner addresses of this side. Only packets from them go out, only packets to them come in. */
  readonly prefixes?: readonly string[] | undefined;
  /** The MAC address of this VTEP; made from the underlay address and the VNI unless said otherwise. */
  readonly vtepMac?: string | undefined;
  /** Whether the device may have IPv6 addresses of its own. */
  readonly ipv6?: boolean | undefined;
  /** Fill the outer UDP checksum on IPv4 too, where it is optional (memory underlays; a socket always does). */
  readonly checksumV4?: boolean | undefined;
  /** Give the outer packet the inner one's DSCP (RFC 2983's uniform model); 0 unless said otherwise, as flannel and the kernel do. */
  readonly copyDscp?: boolean | undefined;
  /** Bridged: learn where a MAC address is from the frames that come from there. On unless said otherwise. */
  readonly learn?: boolean | undefined;
  /** Bridged: send broadcast, multicast and unknown addresses to every peer (head-end replication). On unless said otherwise. */
  readonly flood?: boolean | undefined;
  /** Bridged: addresses remembered; 4096 unless said otherwise. */
  readonly fdbEntries?: number | undefined;
  /** Bridged: an address that was not seen for so long is forgotten; 300 unless said otherwise. */
  readonly agingSeconds?: number | undefined;
  /**
   * What of this side's packets goes up to the program, through `punts`. `destinations`: what no peer holds, instead of an ICMP
   * answer or flooding. `flows`: the first packets of every flow, until the program has decided on it (`decide()`).
   */
  readonly punt?: "destinations" | "flows" | undefined;
  /** Punted packets that wait for the program; a power of two, 256 unless said otherwise. More are dropped as `tx_full`. */
  readonly puntQueue?: number | undefined;
  /** `punt: "flows"`: verdicts remembered; 4096 unless said otherwise. When full, the flow seen longest ago is forgotten. */
  readonly flowEntries?: number | undefined;
  /** `punt: "flows"`: the verdict on a flow that was not seen for so long is forgotten; 60 unless said otherwise. */
  readonly flowIdleSeconds?: number | undefined;
}

export interface OverlayPeer {
  /** Its address on the underlay. */
  readonly underlay: string;
  /** Routed: the inner addresses behind it. */
  readonly prefixes?: readonly string[] | undefined;
  /** Routed: its VTEP's MAC address; made as our own is unless said otherwise. */
  readonly vtepMac?: string | undefined;
  /** Bridged: MAC addresses that are behind it whatever is learned, and may come from nowhere else. */
  readonly macs?: readonly string[] | undefined;
  /** The largest outer packet that reaches it; the underlay's MTU unless said otherwise. */
  readonly pathMtu?: number | undefined;
}

export interface CheckedOverlayOptions {
  readonly vni: number;
  readonly mode: "routed" | "bridged";
  readonly port: "auto" | "tun" | "tap" | "packet" | "memory";
  readonly device?: string | undefined;
  readonly mtu?: number | undefined;
  readonly prefixes: readonly Prefix[];
  readonly vtepMac?: Mac | undefined;
  readonly ipv6: boolean;
  readonly checksumV4: boolean;
  readonly copyDscp: boolean;
  readonly learn: boolean;
  readonly flood: boolean;
  readonly fdbEntries: number;
  readonly agingSeconds: number;
  readonly punt?: "destinations" | "flows" | undefined;
  readonly puntQueue: number;
  readonly flowEntries: number;
  readonly flowIdleSeconds: number;
}

interface CheckedPeer {
  readonly underlay: UnderlayAddress;
  readonly prefixes: readonly Prefix[];
  readonly vtepMac?: Mac | undefined;
  readonly macs: readonly Mac[];
  readonly pathMtu?: number | undefined;
}

const overlayOptions: z.ZodType<CheckedOverlayOptions> = z.strictObject({
  vni: z.int().min(0).max(0xff_ffff, "does not fit 24 bits"),
  mode: z.enum(["routed", "bridged"], { error: "must be routed or bridged" }).default("routed"),
  port: z
    .enum(["auto", "tun", "tap", "packet", "memory"], { error: "must be auto, tun, tap, packet or memory" })
    .default("auto"),
  device: deviceName.optional(),
  mtu: z.int().min(68).max(65_535).optional(),
  prefixes: z.array(prefix).max(64).default([]),
  vtepMac: unicastMac.optional(),
  ipv6: z.boolean().default(false),
  checksumV4: z.boolean().default(false),
  copyDscp: z.boolean().default(false),
  learn: z.boolean().default(true),
  flood: z.boolean().default(true),
  fdbEntries: z
    .int()
    .min(1)
    .max(1 << 20)
    .default(4096),
  agingSeconds: z
    .int()
    .min(1)
    .max(1 << 24)
    .default(300),
  punt: z.enum(["destinations", "flows"], { error: "must be destinations or flows, or left out" }).optional(),
  puntQueue: ringPackets,
  flowEntries: z
    .int()
    .min(1)
    .max(1 << 20)
    .default(4096),
  flowIdleSeconds: z
    .int()
    .min(1)
    .max(1 << 24)
    .default(60),
});

const overlayPeer: z.ZodType<CheckedPeer> = z.strictObject({
  underlay: underlayAddress,
  prefixes: z.array(prefix).default([]),
  vtepMac: unicastMac.optional(),
  macs: z.array(unicastMac).default([]),
  pathMtu: z.int().min(552).max(65_535).optional(),
});

/** Throws OVERLAY_OPTIONS_INVALID, naming the first wrong field, its value and what it must be. */
export function checkOverlayOptions(given: unknown): CheckedOverlayOptions {
  const outcome = overlayOptions.safeParse(given);
  if (!outcome.success) throw invalidOptions("OVERLAY_OPTIONS_INVALID", "overlay", outcome.error, given);
  return outcome.data;
}

export interface PeerRecords {
  readonly peers: readonly EncodablePeer[];
  /** By peer id: the path MTU that was given; no MAC. */
  readonly nextHops: ReadonlyMap<number, NextHop>;
}

/**
 * The records of a table. `ids` remembers the number of each peer by its underlay address, so that what was learned of it
 * outlives the table. Throws OVERLAY_PEERS_INVALID.
 */
export function peerRecords(
  given: readonly OverlayPeer[],
  { vni, bridged, ids }: { vni: number; bridged: boolean; ids: Map<string, number> },
): PeerRecords {
  const outcome = z.array(overlayPeer).safeParse(given);
  if (!outcome.success) throw invalidOptions("OVERLAY_PEERS_INVALID", "overlay peer", outcome.error, given);
  const peers: EncodablePeer[] = [];
  const nextHops = new Map<number, NextHop>();
  const idOf = (name: string): number => {
    const id = ids.get(name) ?? ids.size + 1;
    ids.set(name, id);
    return id;
  };
  for (const peer of outcome.data) {
    const node = formatUnderlay(peer.underlay);
    const records = bridged ? bridgedRecords(peer) : routedRecords(peer, vni);
    for (const [index, record] of records.entries()) {
      const id = idOf(index === 0 ? node : `${node} ${index}`);
      peers.push({ id, underlay: peer.underlay, ...record });
      if (peer.pathMtu !== undefined) nextHops.set(id, { mac: NO_MAC, pathMtu: peer.pathMtu });
    }
  }
  return { peers, nextHops };
}

function routedRecords(peer: CheckedPeer, vni: number): Pick<EncodablePeer, "prefix" | "vtepMac">[] {
  const vtepMac = peer.vtepMac ?? defaultVtepMac(peer.underlay, vni);
  return peer.prefixes.map((one) => ({ prefix: one, vtepMac }));
}

/** At least one, so that a peer without static addresses is flooded to. */
function bridgedRecords(peer: CheckedPeer): Pick<EncodablePeer, "prefix" | "vtepMac">[] {
  const macs: readonly (Mac | null)[] = peer.macs.length > 0 ? peer.macs : [null];
  return macs.map((vtepMac) => ({ prefix: null, vtepMac }));
}

/** The MAC address that a VTEP has unless it is told otherwise: the same on every node, without asking. */
export function defaultVtepMac(underlay: UnderlayAddress, vni: number): Mac {
  const digest = createHash("sha256")
    .update(`ripstop vtep ${vni} ${formatUnderlay(underlay)}`)
    .digest();
  return macFromBytes(Uint8Array.of(0x02, ...digest.subarray(0, 5)));
}
