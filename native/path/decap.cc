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

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "path/outer_check.h"
#include "path/parse.h"
#include "path/segment.h"

namespace path {

namespace {

using pkt::Checksum;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr uint32_t kAhead = 4;  // Packets between a prefetch and the use of what it fetches.
constexpr uint8_t kEcnMask = 3, kEct0 = 2, kEct1 = 1, kCe = 3;

// Step 8. A source is the sender's when the longest prefix says so, or when it is the very address
// the outer packet came from: its host network, which could have sent the same bytes without us.
template <typename Ip>
DropReason CheckAddresses(const fwd::Snapshot& table, const uint8_t* outer_ip, const Outer& outer,
                          const uint8_t* ip) {
  const uint8_t *source = ip + Ip::kSource, *destination = ip + Ip::kDestination;
  uint32_t from, to;
  if constexpr (Ip::kFamily == 4) {
    from = table.FindInner4(base::Load<uint32_t>(source));
    to = table.FindInner4(base::Load<uint32_t>(destination));
  } else {
    from = table.FindInner6(source);
    to = table.FindInner6(destination);
  }
  const bool leased = from < table.peers().size() && table.NodeOf(from) == outer.peer;
  const bool host = outer.family == Ip::kFamily &&
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
  // A right outer checksum says that the wire did no harm, not that the inner packet was right.
  if (packet.checksum == Checksum::kVerified) packet.checksum = Checksum::kUnknown;
  packet.inner_offset = 0;
  packet.outer_l4_offset = 0;
  packet.outer_checksum = false;
  packet.peer = outer.peer;
}

// All steps. Leaves packet.segments right as soon as it can be known.
DropReason Process(const fwd::Snapshot& table, Packet& packet) {
  const fwd::Format& format = table.format();
  packet.segments = 1;
  Outer outer;
  DropReason why = CheckOuter(table, packet, outer);
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
  why = view.family == 4 ? CheckAddresses<net::Ipv4>(table, outer_ip, outer, ip)
                         : CheckAddresses<net::Ipv6>(table, outer_ip, outer, ip);
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

// A local peer's UDP_SEGMENT arrives uncut through a veth: a super-packet of *outer* datagrams,
// whose checksum starts at the outer UDP header. Everything else that is large is one inner
// super-packet.
bool IsOuterSuperPacket(const Packet& packet) {
  if (packet.gso != pkt::Gso::kUdp || packet.len <= kIp) return false;
  const uint8_t* ip = packet.data + kIp;
  const uint32_t udp = ip[0] >> 4 == 4 ? net::Ipv4::HeaderBytes(ip) : net::Ipv6::kHeaderBytes;
  return packet.csum_start == kIp + udp;
}

void PrefetchHeaders(const Packet& packet) {
  __builtin_prefetch(packet.data);
  __builtin_prefetch(packet.data + 64);
}

class Lane final : public pkt::Drain {
 public:
  Lane(const Context& context, pkt::Outbox& deliver) : context_(context), deliver_(deliver) {}

  void Receive(Packet& packet) {
    const uint32_t bytes = packet.len;
    if (IsOuterSuperPacket(packet)) return Cut(packet);
    const DropReason verdict = Process(context_.table, packet);
    Count(packet.segments, bytes);
    End(packet, verdict);
  }

  // Datagrams out of a super-packet: already counted, their outer checksum made by us.
  void Take(pkt::Batch& batch) override {
    for (Packet* packet : batch) {
      packet->checksum = Checksum::kVerified;
      End(*packet, Process(context_.table, *packet));
    }
    batch.Clear();
  }

 private:
  void Cut(Packet& packet) {
    IpView view;
    const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
    const uint8_t* ip = packet.data + kIp;
    const bool sound = ParseIp(ip, packet.len - kIp, type, view) == kPass &&
                       CheckOffload(packet, kIp, view) == kPass;
    Count(sound ? packet.segments : 1, packet.len);
    if (!sound) {
      packet.segments = 1;
      return End(packet, DropReason::kRxTruncated);
    }
    pkt::Outbox datagrams(*this);
    Segment(&packet, context_.frames, datagrams, context_.counters);
    datagrams.Flush();
  }

  void Count(uint32_t segments, uint32_t bytes) {
    context_.counters.rx_packets.Add(segments);
    context_.counters.rx_bytes.Add(bytes);
  }

  void End(Packet& packet, DropReason verdict) {
    if (verdict == kPass) return deliver_.Push(&packet);
    context_.counters.Drop(verdict, packet.segments);
    pkt::Give(&packet);
  }

  const Context& context_;
  pkt::Outbox& deliver_;
};

}  // namespace

void Decap(const Context& context, pkt::Batch& in, pkt::Outbox& deliver) {
  if (in.count == 0) return;
  context.counters.rx_frames.Add(in.count);
  Lane lane(context, deliver);
  for (uint32_t i = 0; i < in.count; ++i) {
    // Headers first, then, once they have come, the sender's place in the table.
    if (i + 2 * kAhead < in.count) PrefetchHeaders(*in.items[i + 2 * kAhead]);
    if (i + kAhead < in.count) PrefetchSender(context.table, *in.items[i + kAhead]);
    lane.Receive(*in.items[i]);
  }
  in.Clear();
}

}  // namespace path
