// Reads the header of one IP packet once, so that the rest of the path need not ask again. Pure;
// trusts no length. What every packet passes through is inline, so that encap and decap keep the
// view in registers; the rarer ways are functions in parse.cc, which take their view by value for
// the same reason.
#pragma once

#include <cstdint>

#include "net/flow_hash.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "pkt/drop_reason.h"
#include "pkt/packet.h"

namespace path {

// "No drop reason": the check passed.
inline constexpr pkt::DropReason kPass = pkt::DropReason::kCount;

struct IpView {
  uint8_t family = 0;    // 4 or 6.
  uint8_t protocol = 0;  // Of the L4 header, behind IPv6 extension headers.
  uint8_t tos = 0;       // DSCP and ECN.
  uint8_t ttl = 0;
  bool fragment = false;        // A fragment of a larger packet, the first one included.
  bool later_fragment = false;  // A fragment other than the first: no L4 header inside.
  bool may_fragment = false;    // IPv4 with DF clear.
  uint16_t l4 =
      0;  // Bytes from the IP header to the L4 header; 0 when there is none that we understand.
  uint32_t bytes = 0;  // The IP packet's length by its own account.
};

// Walks the IPv6 extension headers to the L4 header, and says in the view what it found.
IpView WalkExtensions(const uint8_t* ip, IpView view);

// Reads the packet at `ip`, of which `available` bytes exist, as one of family Ip. kInnerType: it
// is of another version. kInnerLength: a length field is shorter than the header or longer than
// what is there.
template <typename Ip>
inline pkt::DropReason ParseAs(const uint8_t* ip, uint32_t available, IpView& view) {
  if (available < Ip::kHeaderBytes) return pkt::DropReason::kInnerLength;
  if (ip[0] >> 4 != Ip::kFamily) return pkt::DropReason::kInnerType;
  const uint32_t header = Ip::HeaderBytes(ip);
  view.bytes = Ip::TotalBytes(ip);
  if (header < Ip::kHeaderBytes || view.bytes < header || view.bytes > available)
    return pkt::DropReason::kInnerLength;
  view.family = Ip::kFamily;
  view.protocol = ip[Ip::kProtocol];
  view.tos = Ip::Tos(ip);
  view.ttl = Ip::Ttl(ip);
  view.l4 = static_cast<uint16_t>(header);
  if constexpr (Ip::kFamily == 4) {
    const uint16_t fragment = base::LoadBe16(ip + Ip::kFragment);
    view.may_fragment = (fragment & Ip::kDontFragment) == 0;
    if ((fragment & (Ip::kFragmentOffsetMask | Ip::kMoreFragments)) != 0) {
      view.fragment = true;
      view.later_fragment = (fragment & Ip::kFragmentOffsetMask) != 0;
      if (view.later_fragment) view.l4 = 0;
    }
  } else if (Ip::IsExtension(view.protocol)) {
    view = WalkExtensions(ip, view);
  }
  return kPass;
}

// The same, by what the Ethernet type says. kInnerType: neither IPv4 nor IPv6, or not what it says.
pkt::DropReason ParseIp(const uint8_t* ip, uint32_t available, uint16_t ether_type, IpView& view);

// The part of CheckOffload for packets that have such metadata.
pkt::DropReason CheckMetadata(pkt::Packet& packet, uint32_t ip_offset, IpView view);

// Checks checksum and segmentation metadata against the parsed packet `ip_offset` bytes into the
// frame, and counts the segments from gso_size and the true header lengths. kRxTruncated when they
// contradict each other.
inline pkt::DropReason CheckOffload(pkt::Packet& packet, uint32_t ip_offset, const IpView& view) {
  packet.segments = 1;
  if (packet.checksum != pkt::Checksum::kPartial && !packet.super_packet()) return kPass;
  return CheckMetadata(packet, ip_offset, view);
}

// True when the payload of a datagram to our port is a packet of our own format and VNI.
bool IsEncapsulated(const uint8_t* payload, uint32_t bytes, bool vxlan, uint32_t vni);

// True when the packet is UDP to `port` and carries a packet of our own format and VNI:
// encapsulated twice.
inline bool IsNested(const uint8_t* ip, const IpView& view, uint16_t port, bool vxlan,
                     uint32_t vni) {
  if (view.protocol != net::kProtocolUdp || view.l4 == 0 || view.bytes < view.l4 + net::kUdpBytes)
    return false;
  const uint8_t* udp = ip + view.l4;
  if (base::LoadBe16(udp + net::kUdpDestination) != port) return false;
  return IsEncapsulated(udp + net::kUdpBytes, view.bytes - view.l4 - net::kUdpBytes, vxlan, vni);
}

// Both ports as they lie in the packet; 0 where there are none, and for fragments, the first one
// included: all fragments of a packet are treated alike.
inline uint32_t PortsOf(const uint8_t* ip, const IpView& view) {
  const bool has = (view.protocol == net::kProtocolTcp || view.protocol == net::kProtocolUdp) &&
                   !view.fragment && view.l4 != 0 && view.bytes >= view.l4 + 4u;
  return has ? base::Load<uint32_t>(ip + view.l4) : 0;
}

// The flow's hash; fragments hash alike, so that they stay in order.
template <typename Ip>
inline uint32_t HashFlowAs(const uint8_t* ip, const IpView& view) {
  return net::FlowHash<Ip>(ip, view.protocol, PortsOf(ip, view));
}
uint32_t HashFlow(const uint8_t* ip, const IpView& view);

}  // namespace path
