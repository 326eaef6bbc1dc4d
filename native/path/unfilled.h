// Checksums that no device has filled. A veth hands its frames to AF_XDP and to a tunnel's UDP
// socket with the pseudo-header sum where the inner checksum belongs. Filling it once more cannot
// harm a packet that was whole, so the packet is only marked. Pure.
#pragma once

#include "net/checksum.h"
#include "net/udp.h"
#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

// `inner`: bytes from packet.data to the IP header that `view` describes.
template <typename Ip>
inline void MarkUnfilled(pkt::Packet& packet, uint32_t inner, const IpView& view) {
  const bool tcp = view.protocol == net::kProtocolTcp;
  if (view.fragment || view.l4 == 0 || (!tcp && view.protocol != net::kProtocolUdp)) return;
  const uint32_t l4_bytes = view.bytes - view.l4;
  const uint32_t field = tcp ? net::kTcpChecksum : net::kUdpChecksum;
  if (l4_bytes < field + 2) return;
  const uint8_t* ip = packet.data + inner;
  if (base::Load<uint16_t>(ip + view.l4 + field) !=
      net::Fold(net::PseudoSum<Ip>(ip, view.protocol, l4_bytes)))
    return;
  packet.checksum = pkt::Checksum::kPartial;
  packet.csum_start = static_cast<uint16_t>(inner + view.l4);
  packet.csum_offset = static_cast<uint16_t>(field);
}

// A kernel VXLAN peer on this machine sends its TCP super-packets uncut through a veth to a UDP
// socket, which forgets how they were to be cut. A stream may be cut anywhere, so `mtu`, the
// largest inner packet, decides. Only for what is longer than the underlay's MTU; anything but
// whole TCP with an unfilled checksum stays as it is. `inner` as above.
template <typename Ip>
inline void MarkUncut(pkt::Packet& packet, uint32_t inner, const IpView& view, uint32_t mtu) {
  if (view.protocol != net::kProtocolTcp || view.l4 == 0) return;
  MarkUnfilled<Ip>(packet, inner, view);
  if (packet.checksum != pkt::Checksum::kPartial) return;
  const uint32_t headers = view.l4 + net::TcpHeaderBytes(packet.data + inner + view.l4);
  if (headers >= mtu || view.bytes <= mtu) return;
  packet.gso = Ip::kFamily == 4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6;
  packet.gso_size = static_cast<uint16_t>(mtu - headers);
}

}  // namespace path
