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
// Whatever fails is counted and never answered. The batch goes through in chunks, 1-3 for all of a
// chunk and then the rest, so that what one prefetches has come when the other needs it.
#include "path/decap.h"

#include <algorithm>
#include <cstring>

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "path/ecn.h"
#include "path/outer_check.h"
#include "path/outer_cut.h"
#include "path/parse.h"
#include "path/segment.h"
#include "path/unfilled.h"

namespace path {

namespace {

using pkt::Checksum;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr uint32_t kChunk = 8;  // Packets between a prefetch and the use of what it fetches.

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

// What steps 1-3 leave for the others.
struct Work {
  Outer outer;
  DropReason verdict;
  bool cut;  // A super-packet of outer datagrams: to be cut first.
};

template <fwd::Encapsulation kEncapsulation>
class Lane final : public pkt::Drain {
 public:
  Lane(const Context& context, pkt::Outbox& deliver)
      : context_(context), table_(context.table), deliver_(deliver) {}

  void Run(pkt::Batch& in) {
    Work work[kChunk];
    Packet** items = in.items.data();
    for (uint32_t begin = 0; begin < in.count; begin += kChunk) {
      const uint32_t end = std::min(begin + kChunk, in.count);
      for (uint32_t i = end; i < std::min(end + kChunk, in.count); ++i) PrefetchFrame(*items[i]);
      for (uint32_t i = begin; i < end; ++i) Look(*items[i], work[i - begin]);
      for (uint32_t i = begin; i < end; ++i) Finish(*items[i], work[i - begin]);
    }
    context_.counters.rx_frames.Add(in.count);
    context_.counters.rx_packets.Add(packets_);
    context_.counters.rx_bytes.Add(bytes_);
    in.Clear();
  }

  // Datagrams out of a super-packet: already counted, their outer checksum made by us.
  void Take(pkt::Batch& batch) override {
    for (Packet* packet : batch) {
      packet->checksum = Checksum::kVerified;
      packet->segments = 1;
      Outer outer;
      DropReason verdict = CheckOuter<kEncapsulation>(table_, *packet, outer);
      if (verdict == kPass) verdict = Process(*packet, outer);
      End(*packet, verdict);
    }
    batch.Clear();
  }

 private:
  static constexpr bool kVxlan = kEncapsulation == fwd::Encapsulation::kVxlan;

  static void PrefetchFrame(const Packet& packet) {
    __builtin_prefetch(packet.data);
    __builtin_prefetch(packet.data + 64);
  }

  // Steps 1-3.
  void Look(const Packet& packet, Work& work) {
    work.cut = IsOuterSuperPacket(packet);
    if (!work.cut) work.verdict = CheckOuter<kEncapsulation>(table_, packet, work.outer);
  }

  // The others, or the end.
  void Finish(Packet& packet, Work& work) {
    bytes_ += packet.len;
    if (work.cut) return Cut(packet);
    packet.segments = 1;
    DropReason verdict = work.verdict;
    if (verdict == kPass) verdict = Process(packet, work.outer);
    packets_ += packet.segments;
    End(packet, verdict);
  }

  // Steps 4-10. Leaves packet.segments right as soon as it can be known.
  DropReason Process(Packet& packet, Outer& outer) {
    DropReason why = FindSender(table_, packet, outer);
    if (why != kPass) return why;
    uint32_t inner = outer.payload;
    uint16_t type = packet.data[inner] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
    if constexpr (kVxlan) {
      if (why = CheckVxlan(table_, packet, outer, inner, type); why != kPass) return why;
    }
    if (type == net::kEtherTypeIpv4) return ProcessAs<net::Ipv4>(packet, outer, inner);
    if (type == net::kEtherTypeIpv6) return ProcessAs<net::Ipv6>(packet, outer, inner);
    const bool vlan = type == net::kEtherTypeVlan || type == net::kEtherTypeServiceVlan;
    return vlan ? DropReason::kInnerVlan : DropReason::kInnerType;
  }

  // Steps 7-10.
  template <typename Ip>
  DropReason ProcessAs(Packet& packet, const Outer& outer, uint32_t inner) {
    const fwd::Format& format = table_.format();
    uint8_t* ip = packet.data + inner;
    IpView view;
    DropReason why = ParseAs<Ip>(ip, outer.end - inner, view);
    if (why != kPass) return why;
    // A kernel peer on this machine leaves the *outer* checksum partial; the inner one is whole
    // then.
    if (packet.checksum == Checksum::kPartial && packet.csum_start == outer.udp &&
        !packet.super_packet())
      packet.checksum = Checksum::kUnknown;
    if (why = CheckOffload(packet, inner, view); why != kPass) return why;
    if (why = CheckAddresses<Ip>(table_, packet.data + kIp, outer, ip); why != kPass) return why;
    if (IsNested(ip, view, format.port, kVxlan, format.vni)) return DropReason::kNested;
    if (view.ttl == 0) return DropReason::kTtl;
    if (why = CombineEcn<Ip>(outer.tos, ip, view); why != kPass) return why;
    if (format.unfilled_checksums && packet.checksum == Checksum::kUnknown)
      MarkUnfilled<Ip>(packet, inner, view);
    Strip<Ip>(packet, outer, inner, view.bytes);
    return kPass;
  }

  // Step 10.
  template <typename Ip>
  void Strip(Packet& packet, const Outer& outer, uint32_t inner, uint32_t inner_bytes) {
    const uint32_t cut = inner - net::kEthernetBytes;
    if constexpr (!kVxlan) {
      uint8_t* ether = packet.data + cut;  // Over the outer UDP header.
      std::memcpy(ether, table_.vtep_mac(), net::kMacBytes);
      std::memcpy(ether + net::kEtherSource, table_.peers()[outer.peer].vtep_mac, net::kMacBytes);
      base::StoreBe16(ether + net::kEtherType, Ip::kType);
    }
    packet.data += cut;
    packet.len = net::kEthernetBytes + inner_bytes;
    if (packet.checksum == Checksum::kPartial)
      packet.csum_start = static_cast<uint16_t>(packet.csum_start - cut);
    // A right outer checksum says that the wire did no harm, not that the inner packet was right.
    if (packet.checksum == Checksum::kVerified) packet.checksum = Checksum::kUnknown;
    packet.inner_offset = 0;
    packet.outer_l4_offset = 0;
    packet.outer_checksum = false;
    packet.peer = outer.peer;
  }

  void Cut(Packet& packet) {
    const bool sound = CountOuterDatagrams(packet);
    packets_ += packet.segments;
    if (!sound) return End(packet, DropReason::kRxTruncated);
    pkt::Outbox datagrams(*this);
    Segment(&packet, context_.frames, datagrams, context_.counters);
    datagrams.Flush();
  }

  void End(Packet& packet, DropReason verdict) {
    if (verdict == kPass) return deliver_.Push(&packet);
    context_.counters.Drop(verdict, packet.segments);
    pkt::Give(&packet);
  }

  const Context& context_;
  const fwd::Snapshot& table_;
  pkt::Outbox& deliver_;
  uint64_t packets_ = 0;  // Of this batch; the counters are touched once.
  uint64_t bytes_ = 0;
};

}  // namespace

void Decap(const Context& context, pkt::Batch& in, pkt::Outbox& deliver) {
  if (in.count == 0) return;
  if (context.table.format().encapsulation == fwd::Encapsulation::kVxlan) {
    Lane<fwd::Encapsulation::kVxlan>(context, deliver).Run(in);
  } else {
    Lane<fwd::Encapsulation::kUdp>(context, deliver).Run(in);
  }
}

}  // namespace path
