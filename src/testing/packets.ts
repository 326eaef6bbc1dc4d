// Packets for tests, built field by field. Pure.
import { ipv4ToBytes, parseIpv4 } from "../addr/ipv4.js";
import { parseMac, macToBytes } from "../addr/mac.js";
import { checksum } from "../library/codec/checksum.js";

export interface EthernetFrame {
  readonly source?: string;
  readonly destination?: string;
  readonly type: number;
  readonly payload: Uint8Array;
}

export function ethernetFrame({ source, destination, type, payload }: EthernetFrame): Uint8Array {
  const frame = new Uint8Array(14 + payload.length);
  frame.set(macBytes(destination), 0);
  frame.set(macBytes(source), 6);
  frame[12] = type >>> 8;
  frame[13] = type & 255;
  frame.set(payload, 14);
  return frame;
}

export interface UdpPacket {
  readonly source: string;
  readonly destination: string;
  /** Bytes of payload, or the payload itself. */
  readonly payload: number | Uint8Array;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly ttl?: number;
}

/** IPv4 and UDP, without UDP checksum. */
export function udpPacket(packet: UdpPacket): Uint8Array {
  const payload = typeof packet.payload === "number" ? new Uint8Array(packet.payload).map((_, i) => i) : packet.payload;
  const bytes = new Uint8Array(28 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, bytes.length);
  view.setUint16(6, 0x4000);
  view.setUint8(8, packet.ttl ?? 64);
  view.setUint8(9, 17);
  bytes.set(addressBytes(packet.source), 12);
  bytes.set(addressBytes(packet.destination), 16);
  view.setUint16(10, checksum(bytes.subarray(0, 20)));
  view.setUint16(20, packet.sourcePort ?? 5000);
  view.setUint16(22, packet.destinationPort ?? 6000);
  view.setUint16(24, 8 + payload.length);
  bytes.set(payload, 28);
  return bytes;
}

function macBytes(text = "00:00:00:00:00:00"): Uint8Array {
  const mac = parseMac(text);
  if (mac === null) throw new RangeError(`not a MAC address: ${text}`);
  return macToBytes(mac);
}

function addressBytes(text: string): Uint8Array {
  const address = parseIpv4(text);
  if (address === null) throw new RangeError(`not an IPv4 address: ${text}`);
  return ipv4ToBytes(address);
}
