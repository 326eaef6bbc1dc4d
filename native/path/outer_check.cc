// Nothing is believed: each length is held against the frame before it is used. Thread: a worker.
#include "path/outer_check.h"

#include <cstring>

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"

namespace path {

namespace {

using pkt::Checksum;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;

template <typename Ip>
bool IsFragment(const uint8_t* ip) {
  if constexpr (Ip::kFamily == 4) {
    return (base::LoadBe16(ip + Ip::kFragment) & (Ip::kMoreFragments | Ip::kFragmentOffsetMask)) !=
           0;
  } else {
    return ip[Ip::kProtocol] == Ip::kFragmentHeader;
  }
}

template <typename Ip>
bool UdpChecksumRight(const fwd::Format& format, const Packet& packet, const uint8_t* ip,
                      const uint8_t* udp, uint32_t udp_bytes) {
  const auto check = base::Load<uint16_t>(udp + net::kUdpChecksum);
  // Partial, wherever it points: the packet never left this machine's memory, nothing can be
  // damaged yet.
  if (check == 0 || packet.checksum != Checksum::kUnknown) return true;
  const uint64_t pseudo = net::PseudoSum<Ip>(ip, net::kProtocolUdp, udp_bytes);
  if (format.unfilled_checksums && check == net::Fold(pseudo)) return true;
  return net::Fold(net::Sum(udp, udp_bytes, pseudo)) == 0xffff;
}

template <typename Ip>
DropReason CheckOuterOf(const fwd::Snapshot& table, const Packet& packet, Outer& outer) {
  const fwd::Format& format = table.format();
  const uint8_t* ip = packet.data + kIp;
  const uint32_t available = packet.len - kIp;
  if (available < Ip::kHeaderBytes) return DropReason::kOuterLength;
  if (ip[0] >> 4 != Ip::kFamily) return DropReason::kOuterVersion;
  const uint32_t header = Ip::HeaderBytes(ip), total = Ip::TotalBytes(ip);
  if (header < Ip::kHeaderBytes || total < header || total > available)
    return DropReason::kOuterLength;
  if (!Ip::ChecksumRight(ip)) return DropReason::kOuterChecksum;
  if (IsFragment<Ip>(ip)) return DropReason::kOuterFragment;
  if (ip[Ip::kProtocol] != net::kProtocolUdp) return DropReason::kNotOurs;

  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  const uint32_t least =
      net::kUdpBytes + (vxlan ? net::kVxlanBytes + net::kEthernetBytes : net::Ipv4::kHeaderBytes);
  if (total - header < net::kUdpBytes) return DropReason::kUdpLength;
  const uint8_t* udp = ip + header;
  const uint32_t udp_bytes = base::LoadBe16(udp + net::kUdpLength);
  if (udp_bytes < least || udp_bytes > total - header) return DropReason::kUdpLength;
  if (!UdpChecksumRight<Ip>(format, packet, ip, udp, udp_bytes)) return DropReason::kUdpChecksum;

  const uint8_t* source = ip + Ip::kSource;
  bool ours;
  if constexpr (Ip::kFamily == 4) {
    ours = base::Load<uint32_t>(ip + Ip::kDestination) == table.underlay_v4_be();
    outer.peer = table.FindUnderlay4(base::Load<uint32_t>(source));
  } else {
    ours = std::memcmp(ip + Ip::kDestination, table.underlay_v6(), Ip::kAddressBytes) == 0;
    outer.peer = table.FindUnderlay6(source);
  }
  if (!ours || base::LoadBe16(udp + net::kUdpDestination) != format.port)
    return DropReason::kNotOurs;
  if (outer.peer == fwd::kNoPeer) return DropReason::kUnknownPeer;
  outer.family = Ip::kFamily;
  outer.udp = kIp + header;
  outer.payload = outer.udp + net::kUdpBytes;
  outer.end = outer.udp + udp_bytes;
  outer.tos = Ip::Tos(ip);
  return kPass;
}

}  // namespace

void PrefetchSender(const fwd::Snapshot& table, const Packet& packet) {
  if (packet.len < kIp + net::Ipv6::kHeaderBytes) return;
  const uint8_t* ip = packet.data + kIp;
  if (ip[0] >> 4 == 4) {
    table.PrefetchUnderlay4(base::Load<uint32_t>(ip + net::Ipv4::kSource));
  } else {
    table.PrefetchUnderlay6(ip + net::Ipv6::kSource);
  }
}

DropReason CheckOuter(const fwd::Snapshot& table, const Packet& packet, Outer& outer) {
  if (packet.len < kIp) return DropReason::kOuterLength;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  if (type == net::kEtherTypeIpv4) return CheckOuterOf<net::Ipv4>(table, packet, outer);
  if (type == net::kEtherTypeIpv6) return CheckOuterOf<net::Ipv6>(table, packet, outer);
  return DropReason::kOuterVersion;
}

DropReason CheckVxlan(const fwd::Snapshot& table, const Packet& packet, const Outer& outer,
                      uint32_t& inner, uint16_t& type) {
  const uint8_t* vxlan = packet.data + outer.payload;
  const uint32_t vni = base::LoadBe32(vxlan + net::kVxlanVni);
  if (base::LoadBe32(vxlan) != net::kVxlanFlags || (vni & 0xff) != 0)
    return DropReason::kVxlanFlags;
  if (vni >> 8 != table.format().vni) return DropReason::kVxlanVni;
  const uint8_t* ether = vxlan + net::kVxlanBytes;
  const uint64_t own = net::MacKey(table.vtep_mac());
  if (net::MacKey(ether) != own || net::MacKey(ether + net::kEtherSource) == own)
    return DropReason::kInnerMac;
  type = base::LoadBe16(ether + net::kEtherType);
  if (type == net::kEtherTypeVlan || type == net::kEtherTypeServiceVlan)
    return DropReason::kInnerVlan;
  inner = outer.payload + net::kVxlanBytes + net::kEthernetBytes;
  return kPass;
}

}  // namespace path
