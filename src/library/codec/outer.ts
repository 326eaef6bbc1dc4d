// Outer headers: Ethernet, IPv4 or IPv6, UDP and, for VXLAN, the VXLAN header. A template is made once for a peer; putting it
// on costs a copy and the fields that differ from packet to packet. The batch forms work in place on the arena and the
// descriptors of a PacketPort (or on any two arrays of the same layout) and allocate nothing. Pure.
import type { Ipv4, Ipv6 } from "../../addr/address.js";
import { ipv4ToBytes, parseIpv4 } from "../../addr/ipv4.js";
import { ipv6ToBytes, parseIpv6 } from "../../addr/ipv6.js";
import { macToBytes, parseMac } from "../../addr/mac.js";
import { DESCRIPTOR_WORDS, LENGTH, OFFSET } from "../port-binding.js";
import { checksumFinish, checksumSum } from "./checksum.js";
import { flowPort } from "./flow.js";
import { readVxlanHeader, VXLAN_HEADER_BYTES, writeVxlanHeader } from "./vxlan.js";

const ETHERNET = 14;
const UDP = 8;
const PROTOCOL_UDP = 17;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;
const IP_BYTES = { 4: 20, 6: 40 } as const;
const DONT_FRAGMENT = 0x40;
const TTL = 64;

export interface OuterHeaders {
  /** Addresses of one family. */
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  /** VXLAN when given; else the `udp` format of flannel: the bare inner IP packet follows the UDP header. */
  readonly vni?: number;
  readonly ttl?: number;
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  /** Fill the UDP checksum on IPv4 too, where RFC 7348 leaves it zero. On IPv6 it is always filled. */
  readonly checksum?: boolean;
}

/** The headers to one peer, ready but for lengths, checksums and source port. */
export class OuterTemplate {
  readonly family: 4 | 6;
  readonly encapsulation: "vxlan" | "udp";
  /** Bytes in front of what is carried. */
  readonly length: number;
  readonly #bytes: Uint8Array;
  readonly #checksum: boolean;
  /** Of the IPv4 header without length and checksum; of the pseudo header without length. */
  readonly #ipSum: number;
  readonly #pseudoSum: number;

  /** Throws a RangeError that names the field which is no address, port or VNI. */
  constructor(headers: OuterHeaders) {
    const { source, destination, family } = readAddresses(headers);
    const ip = ETHERNET;
    const udp = ip + IP_BYTES[family];
    this.family = family;
    this.encapsulation = headers.vni === undefined ? "udp" : "vxlan";
    this.length = udp + UDP + (headers.vni === undefined ? 0 : VXLAN_HEADER_BYTES);
    const bytes = new Uint8Array(this.length);
    bytes.set(macBytes(headers.destinationMac), 0);
    bytes.set(macBytes(headers.sourceMac), 6);
    put16(bytes, 12, ETHERTYPE[family]);
    writeIp(bytes, ip, family, headers.ttl ?? TTL, source, destination);
    if (!(headers.destinationPort >= 1 && headers.destinationPort <= 0xffff))
      throw new RangeError(`not a UDP port: ${headers.destinationPort}`);
    put16(bytes, udp + 2, headers.destinationPort);
    if (headers.vni !== undefined) writeVxlanHeader(bytes, udp + UDP, headers.vni);
    this.#bytes = bytes;
    this.#checksum = family === 6 || (headers.checksum ?? false);
    this.#ipSum = family === 4 ? checksumSum(bytes, ip, IP_BYTES[4]) : 0;
    const addresses = family === 4 ? ip + 12 : ip + 8;
    this.#pseudoSum = checksumSum(bytes, addresses, source.length * 2, PROTOCOL_UDP);
  }

  /** Writes the headers at `at`; what they carry, `carried` bytes, must stand behind them. `tos`: DSCP and ECN. */
  write(arena: Uint8Array, at: number, carried: number, sourcePort: number, tos = 0): void {
    const bytes = this.#bytes;
    for (let i = 0; i < bytes.length; i++) arena[at + i] = bytes[i] as number;
    const ip = at + ETHERNET;
    const udp = ip + IP_BYTES[this.family];
    const udpBytes = this.length - ETHERNET - IP_BYTES[this.family] + carried;
    if (this.family === 4) {
      const total = IP_BYTES[4] + udpBytes;
      arena[ip + 1] = tos;
      put16(arena, ip + 2, total);
      put16(arena, ip + 10, checksumFinish(this.#ipSum + total + tos));
    } else {
      arena[ip] = 0x60 | (tos >>> 4);
      arena[ip + 1] = (tos & 15) << 4;
      put16(arena, ip + 4, udpBytes);
    }
    put16(arena, udp, sourcePort);
    put16(arena, udp + 4, udpBytes);
    if (!this.#checksum) return;
    const sum = checksumFinish(checksumSum(arena, udp, udpBytes, this.#pseudoSum + udpBytes));
    put16(arena, udp + 6, sum === 0 ? 0xffff : sum);
  }
}

/**
 * Puts the headers in front of `count` packets (Ethernet frames for VXLAN; for udp their Ethernet header is replaced). The
 * source port follows from the inner flow. Returns how many were wrapped: one without room in front gets length 0.
 */
export function encapsulateBatch(
  arena: Uint8Array,
  descriptors: Uint32Array,
  count: number,
  template: OuterTemplate,
  headroom = 96,
): number {
  const stripped = template.encapsulation === "vxlan" ? 0 : ETHERNET;
  const grown = template.length - stripped;
  let wrapped = 0;
  for (let i = 0, at = 0; i < count; i++, at += DESCRIPTOR_WORDS) {
    const offset = descriptors[at + OFFSET] as number;
    const length = descriptors[at + LENGTH] as number;
    if (length < ETHERNET || grown > headroom || offset < grown) {
      descriptors[at + LENGTH] = 0;
      continue;
    }
    const port = flowPort(arena, offset, length);
    template.write(arena, offset - grown, length - stripped, port);
    descriptors[at + OFFSET] = offset - grown;
    descriptors[at + LENGTH] = length + grown;
    wrapped++;
  }
  return wrapped;
}

/**
 * Takes VXLAN headers off `count` outer frames in place and writes each packet's VNI to `vnis`. What is no VXLAN packet to
 * `port`, or contradicts its own lengths, gets length 0 and the VNI 0xffffffff. Returns how many were unwrapped.
 */
export function decapsulateBatch(
  arena: Uint8Array,
  descriptors: Uint32Array,
  count: number,
  port: number,
  vnis: Uint32Array,
): number {
  let unwrapped = 0;
  for (let i = 0, at = 0; i < count; i++, at += DESCRIPTOR_WORDS) {
    const offset = descriptors[at + OFFSET] as number;
    const length = descriptors[at + LENGTH] as number;
    const udp = udpHeader(arena, offset, length, port);
    const vni = udp < 0 ? -1 : readVxlanHeader(arena, udp + UDP);
    vnis[i] = vni;
    if (vni < 0) {
      descriptors[at + LENGTH] = 0;
      continue;
    }
    const inner = udp + UDP + VXLAN_HEADER_BYTES;
    descriptors[at + OFFSET] = inner;
    descriptors[at + LENGTH] = udp + get16(arena, udp + 4) - inner;
    unwrapped++;
  }
  return unwrapped;
}

/** Where the UDP header of a whole, unfragmented datagram to `port` stands that holds a VXLAN packet; -1 otherwise. */
function udpHeader(arena: Uint8Array, offset: number, length: number, port: number): number {
  const ip = offset + ETHERNET;
  const end = offset + length;
  if (ip + IP_BYTES[4] > end) return -1;
  const type = get16(arena, offset + 12);
  const family = type === ETHERTYPE[4] ? 4 : type === ETHERTYPE[6] ? 6 : 0;
  if (family === 0 || (arena[ip] as number) >> 4 !== family || ip + IP_BYTES[family] > end) return -1;
  const header = family === 4 ? ((arena[ip] as number) & 15) * 4 : IP_BYTES[6];
  const total = family === 4 ? get16(arena, ip + 2) : IP_BYTES[6] + get16(arena, ip + 4);
  const protocol = arena[ip + (family === 4 ? 9 : 6)];
  const fragment = family === 4 && (get16(arena, ip + 6) & 0x3fff) !== 0;
  if (header < IP_BYTES[family] || total < header + UDP || ip + total > end || protocol !== PROTOCOL_UDP || fragment) {
    return -1;
  }
  const udp = ip + header;
  const bytes = get16(arena, udp + 4);
  const holds = bytes >= UDP + VXLAN_HEADER_BYTES + ETHERNET && bytes <= total - header;
  return holds && get16(arena, udp + 2) === port ? udp : -1;
}

function readAddresses({ source, destination }: OuterHeaders) {
  const from = parseIpv4(source) ?? parseIpv6(source);
  const to = parseIpv4(destination) ?? parseIpv6(destination);
  if (from === null) throw new RangeError(`source is no IP address: ${source}`);
  if (to === null || typeof to !== typeof from)
    throw new RangeError(`destination is no IP address of the source's family: ${destination}`);
  const bytes = (address: Ipv4 | Ipv6) => (typeof address === "number" ? ipv4ToBytes(address) : ipv6ToBytes(address));
  const family: 4 | 6 = typeof from === "number" ? 4 : 6;
  return { source: bytes(from), destination: bytes(to), family };
}

function writeIp(
  bytes: Uint8Array,
  ip: number,
  family: 4 | 6,
  ttl: number,
  source: Uint8Array,
  destination: Uint8Array,
): void {
  const [lifetime, addresses] = family === 4 ? [ip + 8, ip + 12] : [ip + 7, ip + 8];
  bytes[ip] = family === 4 ? 0x45 : 0x60;
  if (family === 4) bytes[ip + 6] = DONT_FRAGMENT;
  bytes[lifetime] = ttl;
  bytes[ip + (family === 4 ? 9 : 6)] = PROTOCOL_UDP;
  bytes.set(source, addresses);
  bytes.set(destination, addresses + source.length);
}

function macBytes(text: string | undefined): Uint8Array {
  if (text === undefined) return new Uint8Array(6);
  const mac = parseMac(text);
  if (mac === null) throw new RangeError(`not a MAC address: ${text}`);
  return macToBytes(mac);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function get16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
