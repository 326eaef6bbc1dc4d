// One line about a frame for people: addresses, protocol, ports, length. Trusts no length; what it does not know it calls by
// its number. Pure.
import { formatIpv4, ipv4FromBytes } from "../addr/ipv4.js";
import { formatIpv6, ipv6FromBytes } from "../addr/ipv6.js";

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6" };
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const ARP = 0x0806;
const ETHERNET_BYTES = 14;

/** `vxlanPort`: UDP datagrams to it are opened, and the packet inside is described behind the outer one. */
export function describeFrame(frame: Uint8Array, originalBytes: number, vxlanPort: number | null): string {
  const length = originalBytes === frame.length ? `${originalBytes}` : `${originalBytes} (${frame.length} kept)`;
  return `${describeEthernet(frame, vxlanPort)}, length ${length}`;
}

function describeEthernet(frame: Uint8Array, vxlanPort: number | null): string {
  const type = word(frame, 12);
  if (type === null) return "frame too short for Ethernet";
  const packet = frame.subarray(ETHERNET_BYTES);
  if (type === IPV4 && packet.length >= 20) {
    const header = (byte(packet, 0) & 0x0f) * 4;
    const fragment = ((word(packet, 6) ?? 0) & 0x1fff) !== 0;
    const ends = {
      from: formatIpv4(ipv4FromBytes(packet.subarray(12, 16))),
      to: formatIpv4(ipv4FromBytes(packet.subarray(16, 20))),
    };
    return describeTransport(ends, byte(packet, 9), fragment ? new Uint8Array() : packet.subarray(header), vxlanPort);
  }
  if (type === IPV6 && packet.length >= 40) {
    const ends = {
      from: formatIpv6(ipv6FromBytes(packet.subarray(8, 24))),
      to: formatIpv6(ipv6FromBytes(packet.subarray(24, 40))),
    };
    return describeTransport(ends, byte(packet, 6), packet.subarray(40), vxlanPort);
  }
  if (type === ARP) return "ARP";
  return `Ethernet type 0x${type.toString(16).padStart(4, "0")}`;
}

function describeTransport(
  { from, to }: { readonly from: string; readonly to: string },
  protocol: number,
  segment: Uint8Array,
  vxlanPort: number | null,
): string {
  const name = PROTOCOLS[protocol] ?? `protocol ${protocol}`;
  const [source, destination] = [word(segment, 0), word(segment, 2)];
  if ((protocol !== 6 && protocol !== 17) || source === null || destination === null) {
    const detail = (protocol === 1 || protocol === 58) && segment.length > 1 ? ` type ${byte(segment, 0)}` : "";
    return `${from} > ${to} ${name}${detail}`;
  }
  const outer = `${from}.${source} > ${to}.${destination} ${name}`;
  if (protocol !== 17 || destination !== vxlanPort || segment.length < 16) return outer;
  const vni = (byte(segment, 12) << 16) | (byte(segment, 13) << 8) | byte(segment, 14);
  return `${outer} VXLAN ${vni}: ${describeEthernet(segment.subarray(16), null)}`;
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function word(bytes: Uint8Array, at: number): number | null {
  return at + 2 > bytes.length ? null : (byte(bytes, at) << 8) | byte(bytes, at + 1);
}
