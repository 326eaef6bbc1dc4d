// Bounds before bytes: no field is read that the length checks have not covered. Thread: a worker.
#include "path/parse.h"

#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"

namespace path {

namespace {

using pkt::DropReason;

DropReason ParseIpv4(const uint8_t* ip, uint32_t available, IpView& view) {
  if (available < net::Ipv4::kHeaderBytes) return DropReason::kInnerLength;
  if (ip[0] >> 4 != 4) return DropReason::kInnerType;
  const uint32_t header = net::Ipv4::HeaderBytes(ip);
  view.bytes = net::Ipv4::TotalBytes(ip);
  if (header < net::Ipv4::kHeaderBytes || view.bytes < header || view.bytes > available)
    return DropReason::kInnerLength;
  const uint16_t fragment = base::LoadBe16(ip + net::Ipv4::kFragment);
  view.family = 4;
  view.protocol = ip[net::Ipv4::kProtocol];
  view.tos = net::Ipv4::Tos(ip);
  view.ttl = net::Ipv4::Ttl(ip);
  view.later_fragment = (fragment & net::Ipv4::kFragmentOffsetMask) != 0;
  view.fragment = view.later_fragment || (fragment & net::Ipv4::kMoreFragments) != 0;
  view.may_fragment = (fragment & net::Ipv4::kDontFragment) == 0;
  view.l4 = view.later_fragment ? 0 : static_cast<uint16_t>(header);
  return kPass;
}

// Walks the extension headers to the L4 header. A chain that is cut off or too long has no L4
// header for us; it is the receiving host's business to refuse it, as it would be without an
// overlay.
void FindL4(const uint8_t* ip, IpView& view) {
  uint8_t next = ip[net::Ipv6::kProtocol];
  uint32_t at = net::Ipv6::kHeaderBytes;
  for (uint32_t i = 0; i <= net::Ipv6::kExtensionsMax; ++i) {
    const bool extension = next == net::Ipv6::kHopByHop || next == net::Ipv6::kRouting ||
                           next == net::Ipv6::kDestinationOptions ||
                           next == net::Ipv6::kFragmentHeader;
    if (!extension) {
      view.protocol = next;
      view.l4 = static_cast<uint16_t>(at);
      return;
    }
    if (at + 8 > view.bytes) return;
    uint32_t length = (ip[at + 1] + 1u) * 8;
    if (next == net::Ipv6::kFragmentHeader) {
      length = 8;
      const uint16_t fragment = base::LoadBe16(ip + at + 2);
      view.later_fragment = (fragment & 0xfff8) != 0;
      view.fragment = view.later_fragment || (fragment & 1) != 0;
      if (view.later_fragment) {
        view.protocol = ip[at];
        return;
      }
    }
    next = ip[at];
    at += length;
    if (at > view.bytes) return;
  }
}

DropReason ParseIpv6(const uint8_t* ip, uint32_t available, IpView& view) {
  if (available < net::Ipv6::kHeaderBytes) return DropReason::kInnerLength;
  if (ip[0] >> 4 != 6) return DropReason::kInnerType;
  view.bytes = net::Ipv6::TotalBytes(ip);
  if (view.bytes > available) return DropReason::kInnerLength;
  view.family = 6;
  view.protocol = 59;  // No next header, until one is found.
  view.tos = net::Ipv6::Tos(ip);
  view.ttl = net::Ipv6::Ttl(ip);
  FindL4(ip, view);
  return kPass;
}

}  // namespace

DropReason ParseIp(const uint8_t* ip, uint32_t available, uint16_t ether_type, IpView& view) {
  if (ether_type == net::kEtherTypeIpv4) return ParseIpv4(ip, available, view);
  if (ether_type == net::kEtherTypeIpv6) return ParseIpv6(ip, available, view);
  return DropReason::kInnerType;
}

DropReason CheckOffload(pkt::Packet& packet, uint32_t ip_offset, const IpView& view) {
  packet.segments = 1;
  if (packet.checksum == pkt::Checksum::kPartial) {
    const uint32_t field = uint32_t{packet.csum_start} + packet.csum_offset;
    if (packet.csum_start < ip_offset + net::Ipv4::kHeaderBytes ||
        field + 2 > ip_offset + view.bytes) {
      return DropReason::kRxTruncated;
    }
  }
  if (packet.gso == pkt::Gso::kNone) return kPass;
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

bool IsNested(const uint8_t* ip, const IpView& view, uint16_t port, bool vxlan, uint32_t vni) {
  if (view.protocol != net::kProtocolUdp || view.l4 == 0 || view.bytes < view.l4 + net::kUdpBytes)
    return false;
  const uint8_t* udp = ip + view.l4;
  if (base::LoadBe16(udp + net::kUdpDestination) != port) return false;
  const uint32_t payload = view.bytes - view.l4 - net::kUdpBytes;
  const uint8_t* inside = udp + net::kUdpBytes;
  if (vxlan) {
    return payload >= net::kVxlanBytes && (inside[0] & 0x08) != 0 &&
           base::LoadBe32(inside + net::kVxlanVni) >> 8 == vni;
  }
  // The udp format has no header of its own: what counts is whether a whole IP packet fills the
  // datagram.
  if (payload == 0) return false;
  IpView nested;
  const uint16_t type = inside[0] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  return ParseIp(inside, payload, type, nested) == kPass && nested.bytes == payload;
}

uint32_t HashFlow(const uint8_t* ip, const IpView& view) {
  const bool ports = !view.fragment && view.l4 != 0 && view.bytes >= view.l4 + 4u &&
                     (view.protocol == net::kProtocolTcp || view.protocol == net::kProtocolUdp);
  const uint32_t port_pair = ports ? base::Load<uint32_t>(ip + view.l4) : 0;
  return view.family == 4 ? net::FlowHash<net::Ipv4>(ip, view.protocol, port_pair)
                          : net::FlowHash<net::Ipv6>(ip, view.protocol, port_pair);
}

}  // namespace path
