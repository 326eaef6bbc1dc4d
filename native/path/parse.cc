// Bounds before bytes: no field is read that the length checks have not covered. Thread: a worker.
#include "path/parse.h"

#include "net/vxlan.h"

namespace path {

using pkt::DropReason;

// A chain that is cut off or too long has no L4 header for us; it is the receiving host's business
// to refuse it, as it would be without an overlay.
IpView WalkExtensions(const uint8_t* ip, IpView view) {
  uint8_t next = view.protocol;
  uint32_t at = net::Ipv6::kHeaderBytes;
  view.protocol = net::Ipv6::kNoNextHeader;  // Until one is found.
  view.l4 = 0;
  for (uint32_t i = 0; i <= net::Ipv6::kExtensionsMax; ++i) {
    if (!net::Ipv6::IsExtension(next)) {
      view.protocol = next;
      view.l4 = static_cast<uint16_t>(at);
      return view;
    }
    if (at + 8 > view.bytes) return view;
    uint32_t length = (ip[at + 1] + 1u) * 8;
    if (next == net::Ipv6::kFragmentHeader) {
      length = 8;
      const uint16_t fragment = base::LoadBe16(ip + at + 2);
      view.later_fragment = (fragment & 0xfff8) != 0;
      view.fragment = view.later_fragment || (fragment & 1) != 0;
      if (view.later_fragment) {
        view.protocol = ip[at];
        return view;
      }
    }
    next = ip[at];
    at += length;
    if (at > view.bytes) return view;
  }
  return view;
}

DropReason ParseIp(const uint8_t* ip, uint32_t available, uint16_t ether_type, IpView& view) {
  if (ether_type == net::kEtherTypeIpv4) return ParseAs<net::Ipv4>(ip, available, view);
  if (ether_type == net::kEtherTypeIpv6) return ParseAs<net::Ipv6>(ip, available, view);
  return DropReason::kInnerType;
}

DropReason CheckMetadata(pkt::Packet& packet, uint32_t ip_offset, IpView view) {
  if (packet.checksum == pkt::Checksum::kPartial) {
    const uint32_t field = uint32_t{packet.csum_start} + packet.csum_offset;
    if (packet.csum_start < ip_offset + net::Ipv4::kHeaderBytes ||
        field + 2 > ip_offset + view.bytes) {
      return DropReason::kRxTruncated;
    }
  }
  if (!packet.super_packet()) return kPass;
  const bool udp = packet.gso == pkt::Gso::kUdp;
  const bool family_fits = udp || view.family == (packet.gso == pkt::Gso::kTcp4 ? 4 : 6);
  if (!family_fits || packet.gso_size == 0 || view.fragment || view.l4 == 0 ||
      view.protocol != (udp ? net::kProtocolUdp : net::kProtocolTcp) ||
      packet.checksum != pkt::Checksum::kPartial || packet.csum_start != ip_offset + view.l4 ||
      packet.csum_offset != (udp ? net::kUdpChecksum : net::kTcpChecksum)) {
    return DropReason::kRxTruncated;
  }
  if (view.bytes < view.l4 + (udp ? net::kUdpBytes : net::kTcpBytes))
    return DropReason::kRxTruncated;
  const uint32_t l4_header =
      udp ? net::kUdpBytes : net::TcpHeaderBytes(packet.data + ip_offset + view.l4);
  if (l4_header < net::kUdpBytes || (!udp && l4_header < net::kTcpBytes) ||
      view.bytes < view.l4 + l4_header)
    return DropReason::kRxTruncated;
  const uint32_t payload = view.bytes - view.l4 - l4_header;
  if (payload > packet.gso_size)
    packet.segments = static_cast<uint16_t>((payload + packet.gso_size - 1) / packet.gso_size);
  return kPass;
}

bool IsEncapsulated(const uint8_t* payload, uint32_t bytes, bool vxlan, uint32_t vni) {
  if (vxlan) {
    return bytes >= net::kVxlanBytes && (payload[0] & 0x08) != 0 &&
           base::LoadBe32(payload + net::kVxlanVni) >> 8 == vni;
  }
  // The udp format has no header of its own: what counts is whether a whole IP packet fills the
  // datagram.
  if (bytes == 0) return false;
  IpView nested;
  const uint16_t type = payload[0] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  return ParseIp(payload, bytes, type, nested) == kPass && nested.bytes == bytes;
}

uint32_t HashFlow(const uint8_t* ip, const IpView& view) {
  return view.family == 4 ? HashFlowAs<net::Ipv4>(ip, view) : HashFlowAs<net::Ipv6>(ip, view);
}

}  // namespace path
