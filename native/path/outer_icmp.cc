// One body for both families; every length is held against the frame first. Thread: a worker.
#include "path/outer_icmp.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/flow_hash.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/parse.h"

namespace path {

namespace {

template <typename Ip>
bool IsTooBig(const uint8_t* icmp) {
  if constexpr (Ip::kFamily == 4) {
    return icmp[0] == net::kIcmpUnreachable && icmp[1] == net::kIcmpFragmentationNeeded;
  } else {
    return icmp[0] == net::kIcmpv6PacketTooBig && icmp[1] == 0;
  }
}

// Ours have no options, and DF set.
template <typename Ip>
bool HasOurIpHeader(const uint8_t* ip) {
  if constexpr (Ip::kFamily == 4) {
    const uint16_t fragment = base::LoadBe16(ip + Ip::kFragment);
    if (ip[0] != 0x45 || fragment != Ip::kDontFragment) return false;
  }
  return ip[0] >> 4 == Ip::kFamily && ip[Ip::kProtocol] == net::kProtocolUdp;
}

// The quoted packet: cut off at any length, but whole up to its UDP header (RFC 792).
template <typename Ip>
bool QuotesUs(const fwd::Snapshot& table, const uint8_t* ip, uint32_t bytes, uint32_t mtu) {
  constexpr uint32_t header = Ip::kHeaderBytes;
  if (bytes < header + net::kUdpBytes || !HasOurIpHeader<Ip>(ip)) return false;
  if (Ip::TotalBytes(ip) <= mtu || Ip::TotalBytes(ip) > table.format().underlay_mtu) return false;
  const uint8_t* udp = ip + header;
  // A UDP socket has one source port, its own.
  const bool vxlan = table.format().encapsulation == fwd::Encapsulation::kVxlan;
  const uint16_t from = base::LoadBe16(udp);
  if (vxlan ? from < net::kEntropyPortMin : from != table.format().port) return false;
  bool ours;
  uint32_t peer;
  if constexpr (Ip::kFamily == 4) {
    ours = base::Load<uint32_t>(ip + Ip::kSource) == table.underlay_v4_be();
    peer = table.FindUnderlay4(base::Load<uint32_t>(ip + Ip::kDestination));
  } else {
    ours = std::memcmp(ip + Ip::kSource, table.underlay_v6(), Ip::kAddressBytes) == 0;
    peer = table.FindUnderlay6(ip + Ip::kDestination);
  }
  if (!ours || peer == fwd::kNoPeer) return false;
  // The port that this very peer is sent to, as its template says.
  const uint8_t* sent = table.peers()[peer].outer + fwd::kTemplateBytes -
                        table.peers()[peer].outer_bytes + net::kEthernetBytes + Ip::kHeaderBytes;
  if (std::memcmp(udp + net::kUdpDestination, sent + net::kUdpDestination, 2) != 0) return false;
  const uint32_t quoted = std::min(bytes - header - net::kUdpBytes, net::kVxlanBytes);
  return !vxlan || std::memcmp(udp + net::kUdpBytes, sent + net::kUdpBytes, quoted) == 0;
}

template <typename Ip>
std::optional<fwd::PathMtu> Read(const fwd::Snapshot& table, const uint8_t* ip,
                                 const IpView& view) {
  constexpr uint8_t kProtocol = Ip::kFamily == 4 ? net::kProtocolIcmp : net::kProtocolIcmpv6;
  constexpr uint32_t kLeast = Ip::kFamily == 4 ? 552 : 1280;
  if (view.fragment || view.l4 == 0 || view.protocol != kProtocol) return std::nullopt;
  if (view.bytes < view.l4 + net::kIcmpBytes || !Ip::ChecksumRight(ip)) return std::nullopt;
  const uint8_t* icmp = ip + view.l4;
  const uint32_t icmp_bytes = view.bytes - view.l4;
  const uint64_t pseudo = Ip::kFamily == 4 ? 0 : net::PseudoSum<Ip>(ip, kProtocol, icmp_bytes);
  if (!IsTooBig<Ip>(icmp) || net::Fold(net::Sum(icmp, icmp_bytes, pseudo)) != 0xffff) {
    return std::nullopt;
  }
  const uint32_t word = base::LoadBe32(icmp + net::kIcmpMtu);
  const uint32_t said = Ip::kFamily == 4 ? word & 0xffff : word;  // Zero: a router before RFC 1191.
  const uint8_t* quoted = icmp + net::kIcmpBytes;
  if (!QuotesUs<Ip>(table, quoted, icmp_bytes - net::kIcmpBytes, said)) return std::nullopt;
  fwd::PathMtu learned;
  learned.family = Ip::kFamily;
  std::memcpy(learned.peer.data(), quoted + Ip::kDestination, Ip::kAddressBytes);
  learned.mtu = static_cast<uint16_t>(std::max(said, kLeast));
  return learned;
}

}  // namespace

std::optional<fwd::PathMtu> ReadOuterIcmp(const fwd::Snapshot& table, const uint8_t* frame,
                                          uint32_t bytes) {
  constexpr uint32_t kIp = net::kEthernetBytes;
  IpView view;
  if (bytes < kIp) return std::nullopt;
  const uint16_t type = base::LoadBe16(frame + net::kEtherType);
  if (ParseIp(frame + kIp, bytes - kIp, type, view) != kPass) return std::nullopt;
  return view.family == 4 ? Read<net::Ipv4>(table, frame + kIp, view)
                          : Read<net::Ipv6>(table, frame + kIp, view);
}

}  // namespace path
