// Steps 1-6 of the receive checks: the outer headers and the inner Ethernet header (path/decap.cc).
// Thread: a worker. Changes nothing. Nothing is believed: each length is held against the frame
// before it is used. Inline for the reason that parse.h gives.
#pragma once

#include <cstring>

#include "fwd/snapshot.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

// What the outer headers said. Offsets are bytes from packet.data.
struct Outer {
  uint32_t udp = 0;
  uint32_t payload = 0;  // First byte behind the UDP header.
  uint32_t end = 0;      // First byte behind the datagram, by the smaller of IP and UDP length.
  uint8_t tos = 0;
  uint8_t family = 0;
  uint32_t peer = fwd::kNoPeer;  // The sender's first record, which names its node.
};

// Step 2, for a checksum that is there and that nobody has verified.
template <typename Ip>
bool UdpSumRight(const fwd::Format& format, const uint8_t* ip, const uint8_t* udp,
                 uint32_t udp_bytes);

template <typename Ip>
inline bool IsOuterFragment(const uint8_t* ip) {
  if constexpr (Ip::kFamily == 4) {
    return (base::LoadBe16(ip + Ip::kFragment) & (Ip::kMoreFragments | Ip::kFragmentOffsetMask)) !=
           0;
  } else {
    return ip[Ip::kProtocol] == Ip::kFragmentHeader;
  }
}

// Steps 1-3. Ends by asking for what step 4 looks up.
template <fwd::Encapsulation kEncapsulation, typename Ip>
inline pkt::DropReason CheckOuterAs(const fwd::Snapshot& table, const pkt::Packet& packet,
                                    Outer& outer) {
  using pkt::DropReason;
  constexpr uint32_t kIp = net::kEthernetBytes;
  constexpr uint32_t kLeast = net::kUdpBytes + (kEncapsulation == fwd::Encapsulation::kVxlan
                                                    ? net::kVxlanBytes + net::kEthernetBytes
                                                    : net::Ipv4::kHeaderBytes);
  const fwd::Format& format = table.format();
  const uint8_t* ip = packet.data + kIp;
  const uint32_t available = packet.len - kIp;
  if (available < Ip::kHeaderBytes) return DropReason::kOuterLength;
  if (ip[0] >> 4 != Ip::kFamily) return DropReason::kOuterVersion;
  const uint32_t header = Ip::HeaderBytes(ip), total = Ip::TotalBytes(ip);
  if (header < Ip::kHeaderBytes || total < header || total > available)
    return DropReason::kOuterLength;
  if (!Ip::ChecksumRight(ip)) return DropReason::kOuterChecksum;
  if (IsOuterFragment<Ip>(ip)) return DropReason::kOuterFragment;
  if (ip[Ip::kProtocol] != net::kProtocolUdp) return DropReason::kNotOurs;

  if (total - header < net::kUdpBytes) return DropReason::kUdpLength;
  const uint8_t* udp = ip + header;
  const uint32_t udp_bytes = base::LoadBe16(udp + net::kUdpLength);
  if (udp_bytes < kLeast || udp_bytes > total - header) return DropReason::kUdpLength;
  // Partial, wherever it points: the packet never left this machine's memory, nothing can be
  // damaged yet.
  if (base::Load<uint16_t>(udp + net::kUdpChecksum) != 0 &&
      packet.checksum == pkt::Checksum::kUnknown && !UdpSumRight<Ip>(format, ip, udp, udp_bytes))
    return DropReason::kUdpChecksum;

  bool ours;
  if constexpr (Ip::kFamily == 4) {
    ours = base::Load<uint32_t>(ip + Ip::kDestination) == table.underlay_v4_be();
    table.PrefetchUnderlay4(base::Load<uint32_t>(ip + Ip::kSource));
  } else {
    ours = std::memcmp(ip + Ip::kDestination, table.underlay_v6(), Ip::kAddressBytes) == 0;
    table.PrefetchUnderlay6(ip + Ip::kSource);
  }
  if (!ours || base::LoadBe16(udp + net::kUdpDestination) != format.port)
    return DropReason::kNotOurs;
  outer.family = Ip::kFamily;
  outer.udp = kIp + header;
  outer.payload = outer.udp + net::kUdpBytes;
  outer.end = outer.udp + udp_bytes;
  outer.tos = Ip::Tos(ip);
  return kPass;
}

template <fwd::Encapsulation kEncapsulation>
inline pkt::DropReason CheckOuter(const fwd::Snapshot& table, const pkt::Packet& packet,
                                  Outer& outer) {
  if (packet.len < net::kEthernetBytes) return pkt::DropReason::kOuterLength;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  if (type == net::kEtherTypeIpv4)
    return CheckOuterAs<kEncapsulation, net::Ipv4>(table, packet, outer);
  if (type == net::kEtherTypeIpv6)
    return CheckOuterAs<kEncapsulation, net::Ipv6>(table, packet, outer);
  return pkt::DropReason::kOuterVersion;
}

// Step 4.
inline pkt::DropReason FindSender(const fwd::Snapshot& table, const pkt::Packet& packet,
                                  Outer& outer) {
  const uint8_t* ip = packet.data + net::kEthernetBytes;
  outer.peer = outer.family == 4
                   ? table.FindUnderlay4(base::Load<uint32_t>(ip + net::Ipv4::kSource))
                   : table.FindUnderlay6(ip + net::Ipv6::kSource);
  return outer.peer == fwd::kNoPeer ? pkt::DropReason::kUnknownPeer : kPass;
}

// Step 5, for VXLAN.
inline pkt::DropReason CheckVxlanHeader(const fwd::Snapshot& table, const uint8_t* vxlan) {
  if (base::Load<uint64_t>(vxlan) == table.vxlan_header()) return kPass;
  const bool flags = base::LoadBe32(vxlan) == net::kVxlanFlags &&
                     (base::LoadBe32(vxlan + net::kVxlanVni) & 0xff) == 0;
  return flags ? pkt::DropReason::kVxlanVni : pkt::DropReason::kVxlanFlags;
}

// Steps 5 and 6, for VXLAN. On success `inner` is where the inner IP header starts.
inline pkt::DropReason CheckVxlan(const fwd::Snapshot& table, const pkt::Packet& packet,
                                  const Outer& outer, uint32_t& inner, uint16_t& type) {
  const uint8_t* vxlan = packet.data + outer.payload;
  if (const auto why = CheckVxlanHeader(table, vxlan); why != kPass) return why;
  const uint8_t* ether = vxlan + net::kVxlanBytes;
  const uint64_t own = table.vtep_mac_key();
  if (net::DestinationKey(ether) != own || net::SourceKey(ether) == own)
    return pkt::DropReason::kInnerMac;
  type = base::LoadBe16(ether + net::kEtherType);
  inner = outer.payload + net::kVxlanBytes + net::kEthernetBytes;
  return kPass;
}

}  // namespace path
