// How long a packet may be inside and outside a tunnel. Pure arithmetic (RFC 7348 section 4.3: the outer packet is never
// fragmented, so the inner one has to leave room).

export type Encapsulation = "vxlan" | "udp";

export interface TunnelShape {
  readonly encapsulation: Encapsulation;
  /** Family of the outer IP header. */
  readonly outerFamily: 4 | 6;
}

const IP_BYTES = { 4: 20, 6: 40 } as const;
const UDP_BYTES = 8;
const VXLAN_BYTES = 8;
const ETHERNET_BYTES = 14;

/** Bytes between an inner IP packet and the outer one: 28 and 48 for udp, 50 and 70 for VXLAN, which carries Ethernet. */
export function tunnelOverhead({ encapsulation, outerFamily }: TunnelShape): number {
  const inner = encapsulation === "vxlan" ? VXLAN_BYTES + ETHERNET_BYTES : 0;
  return IP_BYTES[outerFamily] + UDP_BYTES + inner;
}

/** The largest inner IP packet on an underlay of this MTU; 0 when nothing fits. */
export function overlayMtu(underlayMtu: number, shape: TunnelShape): number {
  return Math.max(0, underlayMtu - tunnelOverhead(shape));
}

/** The underlay MTU that inner packets of this length need. */
export function underlayMtuFor(innerMtu: number, shape: TunnelShape): number {
  return innerMtu + tunnelOverhead(shape);
}

/** The TCP payload of a full segment inside an overlay of this MTU, without options. */
export function tcpMaximumSegment(overlay: number, innerFamily: 4 | 6): number {
  return Math.max(0, overlay - IP_BYTES[innerFamily] - 20);
}
