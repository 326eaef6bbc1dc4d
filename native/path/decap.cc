// A packet's way from the underlay to the overlay, in the order of the drop reasons:
//   1. outer IP      version, lengths, header checksum, no fragment
//   2. outer UDP     its length holds an inner packet; its checksum is right if there is one
//   3. for us        destination address and port
//   4. from a peer   the outer source is a leased public address
//   5. VXLAN header  exactly the I flag, our VNI
//   6. inner frame   to our VTEP, not from it; no VLAN
//   7. inner IP      type, lengths; offload metadata agrees
//   8. addresses     source is that peer's, destination is ours
//   9. the rest      no nesting, TTL alive, ECN combines (RFC 6040)
//  10. strip         outer headers off; Ethernet made up for the udp format
// Whatever fails is counted and never answered.
#include "path/decap.h"

#include <cstring>

#include "base/assert.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/parse.h"

namespace path {

namespace {

using pkt::Checksum;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr uint8_t kEcnMask = 3, kEct0 = 2, kEct1 = 1, kCe = 3;

// What the outer headers said. Offsets are bytes from packet.data.
struct Outer {
  uint32_t udp = 0;
  uint32_t payload = 0;  // First byte behind the UDP header.
  uint32_t end = 0;      // First byte behind the datagram, by the smaller of IP and UDP length.
  uint8_t tos = 0;
  uint32_t peer = fwd::kNoPeer;  // Some record of the sender.
};

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

// Steps 1-4.
template <typename Ip>
DropReason CheckOuter(const fwd::Snapshot& table, const Packet& packet, Outer& outer) {
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
  outer.udp = kIp + header;
  outer.payload = outer.udp + net::kUdpBytes;
  outer.end = outer.udp + udp_bytes;
  outer.tos = Ip::Tos(ip);
  return kPass;
}

// Steps 5 and 6. On success `inner` is where the inner IP header starts.
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

// Step 8. A source is the sender's when the longest prefix says so, or when it is the very address
// the outer packet came from: its host network, which could have sent the same bytes without us.
template <typename Ip>
DropReason CheckAddresses(const fwd::Snapshot& table, const uint8_t* outer_ip,
                          const fwd::Peer& sender, const uint8_t* ip) {
  const uint8_t *source = ip + Ip::kSource, *destination = ip + Ip::kDestination;
  uint32_t from, to;
  if constexpr (Ip::kFamily == 4) {
    from = table.FindInner4(base::Load<uint32_t>(source));
    to = table.FindInner4(base::Load<uint32_t>(destination));
  } else {
    from = table.FindInner6(source);
    to = table.FindInner6(destination);
  }
  const bool leased = from < table.peers().size() && table.peers()[from].node == sender.node;
  const bool host = sender.family == Ip::kFamily &&
                    std::memcmp(source, outer_ip + Ip::kSource, Ip::kAddressBytes) == 0;
  if ((!leased && !host) || !Ip::Carriable(source)) return DropReason::kInnerSource;
  return to == fwd::kLocal && Ip::Carriable(destination) ? kPass : DropReason::kInnerDestination;
}

// RFC 6040 section 4.2, as the kernel does it.
DropReason CombineEcn(uint8_t outer_tos, uint8_t* ip, const IpView& view) {
  const uint8_t outer = outer_tos & kEcnMask, inner = view.tos & kEcnMask;
  if (inner == 0) return outer == kCe ? DropReason::kEcn : kPass;
  const bool congested = outer == kCe && inner != kCe, changed = outer == kEct1 && inner == kEct0;
  if (!congested && !changed) return kPass;
  const auto tos = static_cast<uint8_t>((view.tos & ~kEcnMask) | outer);
  view.family == 4 ? net::Ipv4::SetTos(ip, tos) : net::Ipv6::SetTos(ip, tos);
  return kPass;
}

// A veth hands frames to AF_XDP with the pseudo-header sum where the checksum belongs. Filling it
// once more cannot harm a packet that was whole, so the packet is only marked.
template <typename Ip>
void MarkUnfilled(Packet& packet, uint32_t inner, const IpView& view) {
  const bool tcp = view.protocol == net::kProtocolTcp;
  if (view.fragment || view.l4 == 0 || (!tcp && view.protocol != net::kProtocolUdp)) return;
  const uint32_t l4_bytes = view.bytes - view.l4;
  const uint32_t field = tcp ? net::kTcpChecksum : net::kUdpChecksum;
  if (l4_bytes < field + 2) return;
  const uint8_t* ip = packet.data + inner;
  if (base::Load<uint16_t>(ip + view.l4 + field) !=
      net::Fold(net::PseudoSum<Ip>(ip, view.protocol, l4_bytes)))
    return;
  packet.checksum = Checksum::kPartial;
  packet.csum_start = static_cast<uint16_t>(inner + view.l4);
  packet.csum_offset = static_cast<uint16_t>(field);
}

// Step 10.
void Strip(const fwd::Snapshot& table, Packet& packet, const Outer& outer, uint32_t inner,
           const IpView& view) {
  const uint32_t cut = inner - net::kEthernetBytes;
  if (table.format().encapsulation == fwd::Encapsulation::kUdp) {
    uint8_t* ether = packet.data + cut;  // Over the outer UDP header.
    std::memcpy(ether, table.vtep_mac(), net::kMacBytes);
    std::memcpy(ether + net::kEtherSource, table.peers()[outer.peer].vtep_mac, net::kMacBytes);
    base::StoreBe16(ether + net::kEtherType,
                    view.family == 4 ? net::Ipv4::kType : net::Ipv6::kType);
  }
  packet.data += cut;
  packet.len = net::kEthernetBytes + view.bytes;
  if (packet.checksum == Checksum::kPartial)
    packet.csum_start = static_cast<uint16_t>(packet.csum_start - cut);
  packet.inner_offset = 0;
  packet.outer_l4_offset = 0;
  packet.outer_checksum = false;
  packet.peer = outer.peer;
}

// All steps. Leaves packet.segments right as soon as it can be known.
DropReason Process(const fwd::Snapshot& table, Packet& packet) {
  const fwd::Format& format = table.format();
  packet.segments = 1;
  if (packet.len < kIp) return DropReason::kOuterLength;
  Outer outer;
  const uint16_t outer_type = base::LoadBe16(packet.data + net::kEtherType);
  DropReason why = DropReason::kOuterVersion;
  if (outer_type == net::kEtherTypeIpv4) why = CheckOuter<net::Ipv4>(table, packet, outer);
  if (outer_type == net::kEtherTypeIpv6) why = CheckOuter<net::Ipv6>(table, packet, outer);
  if (why != kPass) return why;

  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  uint32_t inner = outer.payload;
  uint16_t type = packet.data[inner] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  if (vxlan) why = CheckVxlan(table, packet, outer, inner, type);
  if (why != kPass) return why;
  uint8_t* ip = packet.data + inner;
  IpView view;
  if (why = ParseIp(ip, outer.end - inner, type, view); why != kPass) return why;
  // A kernel peer on this machine leaves the *outer* checksum partial; the inner one is whole then.
  if (packet.checksum == Checksum::kPartial && packet.csum_start == outer.udp &&
      !packet.super_packet())
    packet.checksum = Checksum::kUnknown;
  if (why = CheckOffload(packet, inner, view); why != kPass) return why;

  const uint8_t* outer_ip = packet.data + kIp;
  const fwd::Peer& sender = table.peers()[outer.peer];
  why = view.family == 4 ? CheckAddresses<net::Ipv4>(table, outer_ip, sender, ip)
                         : CheckAddresses<net::Ipv6>(table, outer_ip, sender, ip);
  if (why != kPass) return why;
  if (IsNested(ip, view, format.port, vxlan, format.vni)) return DropReason::kNested;
  if (view.ttl == 0) return DropReason::kTtl;
  if (why = CombineEcn(outer.tos, ip, view); why != kPass) return why;
  if (format.unfilled_checksums && packet.checksum == Checksum::kUnknown) {
    view.family == 4 ? MarkUnfilled<net::Ipv4>(packet, inner, view)
                     : MarkUnfilled<net::Ipv6>(packet, inner, view);
  }
  Strip(table, packet, outer, inner, view);
  return kPass;
}

}  // namespace

void Decap(const Context& context, pkt::Batch& in, pkt::Outbox& deliver) {
  if (in.count == 0) return;
  pkt::LaneCounters& counters = context.counters;
  counters.rx_frames.Add(in.count);
  counters.rx_batches.Add(1);
  for (Packet* packet : in) {
    const uint32_t bytes = packet->len;
    const DropReason verdict = Process(context.table, *packet);
    counters.rx_packets.Add(packet->segments);
    counters.rx_bytes.Add(bytes);
    if (verdict == kPass) {
      deliver.Push(packet);
    } else {
      counters.Drop(verdict, packet->segments);
      pkt::Give(packet);
    }
  }
  in.Clear();
}

}  // namespace path
