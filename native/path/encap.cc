// A packet's way from the overlay to the underlay:
//   1. parse     Ethernet type, IP header, lengths; padding is cut off
//   2. offload   checksum and segmentation metadata against the headers; segments counted
//   3. check     source is ours, destination may be carried, not nested, TTL alive
//   4. find      VXLAN: VTEP MAC exactly, else longest prefix and the VTEP MAC of the peer found;
//                udp: longest prefix
//   5. fit       wire length of each segment against the peer's path
//   6. put on    the outer headers (path/outer.h)
// The batch goes through in chunks: 1-3, then 4, then 5 and 6 for all of a chunk. Each prefetches
// what the next reads: frame, place in the table, peer. Steps 4 and 5 may end in an ICMP answer, at
// a limited rate.
#include "path/encap.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "path/fragment.h"
#include "path/icmp_reply.h"
#include "path/outer.h"
#include "path/parse.h"
#include "path/segment.h"

namespace path {

namespace {

using fwd::Peer;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;  // Inner frames: where the IP header starts.
constexpr uint32_t kIpBytesMax = 65535;
// Packets between a prefetch and the use of what it fetches. Frames lie 2 KiB apart, so their
// headers share two sets of the first cache, and only this many stay in it together.
constexpr uint32_t kChunk = 8;

// What steps 1-4 leave for 5 and 6.
struct Work {
  uint64_t vtep;  // Key of the VTEP that the frame is for.
  uint32_t peer;
  uint32_t hash;        // Of the inner flow.
  uint32_t wire_bytes;  // Of the longest inner IP packet on the wire.
  DropReason verdict;
  uint8_t tos;
  uint8_t ttl;
  bool by_prefix;  // The frame may be for a MAC that is not the peer's.
};

template <typename Ip>
DropReason CheckAddresses(const fwd::Snapshot& table, const uint8_t* ip) {
  const uint8_t* source = ip + Ip::kSource;
  bool ours;
  if constexpr (Ip::kFamily == 4) {
    const auto address = base::Load<uint32_t>(source);
    ours = table.FindInner4(address) == fwd::kLocal ||
           (address != 0 && address == table.underlay_v4_be());
  } else {
    ours = table.FindInner6(source) == fwd::kLocal ||
           std::memcmp(source, table.underlay_v6(), Ip::kAddressBytes) == 0;
  }
  if (!ours || !Ip::Carriable(source)) return DropReason::kInnerSource;
  return Ip::Carriable(ip + Ip::kDestination) ? kPass : DropReason::kInnerDestination;
}

uint32_t FindInner(const fwd::Snapshot& table, const uint8_t* frame) {
  const uint8_t* ip = frame + kIp;
  return base::LoadBe16(frame + net::kEtherType) == net::kEtherTypeIpv4
             ? table.FindInner4(base::Load<uint32_t>(ip + net::Ipv4::kDestination))
             : table.FindInner6(ip + net::Ipv6::kDestination);
}

// What the path's MTU is held against. A super-packet's own length says nothing about that.
uint32_t WireBytes(const Packet& packet, IpView view) {
  const uint8_t* l4 = packet.data + kIp + view.l4;
  const uint32_t l4_header =
      packet.gso == pkt::Gso::kUdp ? net::kUdpBytes : net::TcpHeaderBytes(l4);
  return std::min<uint32_t>(view.bytes, view.l4 + l4_header + packet.gso_size);
}

// Reads the header of a packet that has passed before.
IpView ParseAgain(const Packet& packet) {
  IpView view;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  RS_ASSERT(ParseIp(packet.data + kIp, packet.len - kIp, type, view) == kPass);
  return view;
}

// One direction's work on one batch.
template <fwd::Encapsulation kEncapsulation>
class Lane {
 public:
  Lane(const Context& context, pkt::Outbox& forward, pkt::Outbox& reply, pkt::Outbox& punt)
      : context_(context),
        table_(context.table),
        format_(context.table.format()),
        forward_(forward),
        reply_(reply),
        punt_(punt) {}

  void Run(pkt::Batch& in) {
    Work work[kChunk];
    Packet** items = in.items.data();
    for (uint32_t begin = 0; begin < in.count; begin += kChunk) {
      const uint32_t end = std::min(begin + kChunk, in.count);
      for (uint32_t i = end; i < std::min(end + kChunk, in.count); ++i) PrefetchFrame(*items[i]);
      for (uint32_t i = begin; i < end; ++i) Look(*items[i], work[i - begin]);
      for (uint32_t i = begin; i < end; ++i) Find(*items[i], work[i - begin]);
      for (uint32_t i = begin; i < end; ++i) Finish(*items[i], work[i - begin]);
    }
    context_.counters.rx_frames.Add(in.count);
    context_.counters.rx_packets.Add(packets_);
    context_.counters.rx_bytes.Add(bytes_);
    in.Clear();
  }

 private:
  static constexpr bool kVxlan = kEncapsulation == fwd::Encapsulation::kVxlan;

  static void PrefetchFrame(const Packet& packet) {
    __builtin_prefetch(packet.data);
    __builtin_prefetch(packet.data - fwd::kTemplateBytes, 1);
  }

  // Steps 1-3.
  void Look(Packet& packet, Work& work) {
    bytes_ += packet.len;
    work.peer = fwd::kNoPeer;
    work.verdict = Inspect(packet, work);
    packets_ += packet.segments;
    if (kVxlan && work.verdict == kPass) table_.PrefetchVtep(work.vtep);
  }

  DropReason Inspect(Packet& packet, Work& work) {
    if (packet.len < kIp) return DropReason::kInnerLength;
    const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
    if (type == net::kEtherTypeIpv4) return InspectAs<net::Ipv4>(packet, work);
    if (type == net::kEtherTypeIpv6) return InspectAs<net::Ipv6>(packet, work);
    const bool vlan = type == net::kEtherTypeVlan || type == net::kEtherTypeServiceVlan;
    return vlan ? DropReason::kInnerVlan : DropReason::kInnerType;
  }

  template <typename Ip>
  DropReason InspectAs(Packet& packet, Work& work) {
    const uint8_t* ip = packet.data + kIp;
    IpView view;
    DropReason why = ParseAs<Ip>(ip, packet.len - kIp, view);
    if (why != kPass) return why;
    packet.len = kIp + view.bytes;
    if (why = CheckOffload(packet, kIp, view); why != kPass) return why;
    if (why = CheckAddresses<Ip>(table_, ip); why != kPass) return why;
    if (IsNested(ip, view, format_.port, kVxlan, format_.vni)) return DropReason::kNested;
    if (view.ttl == 0) return DropReason::kTtl;
    work.vtep = fwd::Snapshot::VtepKey(net::DestinationKey(packet.data), Ip::kFamily == 6);
    work.hash = HashFlowAs<Ip>(ip, view);
    work.wire_bytes = packet.super_packet() ? WireBytes(packet, view) : view.bytes;
    work.tos = view.tos;
    work.ttl = view.ttl;
    return kPass;
  }

  // Step 4.
  void Find(const Packet& packet, Work& work) {
    if (work.verdict != kPass) return;
    uint32_t peer = fwd::kNoPeer;
    if constexpr (kVxlan) peer = table_.FindVtep(work.vtep);
    work.by_prefix = peer >= fwd::kPeersMax;
    if (work.by_prefix) peer = FindInner(table_, packet.data);
    work.peer = peer;
    if (peer == fwd::kLocal) work.verdict = DropReason::kInnerDestination;
    if (peer < fwd::kPeersMax) table_.PrefetchPeer(peer);
  }

  // Steps 5-6, or the end.
  void Finish(Packet& packet, const Work& work) {
    if (work.verdict != kPass) return Drop(packet, work.verdict);
    if (work.peer == fwd::kNoPeer) {
      if (context_.punts_unknown) return Punt(packet);
      return AnswerOrDrop(packet, Answer::kUnreachable, 0, DropReason::kNoPeer);
    }
    const Peer& peer = table_.peers()[work.peer];
    if (peer.loops) return Drop(packet, DropReason::kLoop);
    if (!peer.ready) return Punt(packet);
    packet.peer = work.peer;
    // Read once: it may change meanwhile, and pieces made for one MTU would not fit the other.
    const uint16_t mtu = peer.InnerMtu();
    const bool fits = work.wire_bytes <= mtu;
    if (!kVxlan || !fits) {
      if (!kVxlan && work.ttl <= 1)
        return AnswerOrDrop(packet, Answer::kTimeExceeded, 0, DropReason::kTtl);
      if (!fits && !ParseAgain(packet).may_fragment)
        return AnswerOrDrop(packet, Answer::kTooBig, mtu, DropReason::kTooBig);
      if (!kVxlan) LowerTtl(packet.data, work.ttl);
    }
    if (kVxlan && work.by_prefix) SetVtep(packet, peer);
    if (!fits || OuterIpBytes(packet, peer) > kIpBytesMax) return SendInPieces(packet, peer, mtu);
    PutOuter<kEncapsulation>(format_, peer, work.tos, work.hash, packet);
    forward_.Push(&packet);
  }

  // The peer takes no frame for another MAC.
  static void SetVtep(Packet& packet, const Peer& peer) {
    if (net::MacKey(peer.vtep_mac) != 0) std::memcpy(packet.data, peer.vtep_mac, net::kMacBytes);
  }

  // Where flannel routes; its VXLAN only bridges.
  static void LowerTtl(uint8_t* frame, uint8_t before) {
    const auto ttl = static_cast<uint8_t>(before - 1);
    base::LoadBe16(frame + net::kEtherType) == net::kEtherTypeIpv4
        ? net::Ipv4::SetTtl(frame + kIp, ttl)
        : net::Ipv6::SetTtl(frame + kIp, ttl);
  }

  uint32_t OuterIpBytes(const Packet& packet, const Peer& peer) const {
    return packet.len + OuterGrowth(format_, peer) - net::kEthernetBytes;
  }

  // A packet that its path or the outer length field has no room for.
  void SendInPieces(Packet& packet, const Peer& peer, uint16_t mtu) {
    const IpView view = ParseAgain(packet);
    const uint32_t wire = packet.super_packet() ? WireBytes(packet, view) : view.bytes;
    Pieces pieces(*this, packet.peer, mtu);
    pkt::Outbox box(pieces);
    if (wire <= mtu) {
      Split(&packet, SegmentsThatFit(packet, wire, peer), context_.frames, box, context_.counters);
    } else if (packet.super_packet()) {
      Segment(&packet, context_.frames, box, context_.counters);
    } else {
      Fragment(&packet, view, mtu, context_.frames, box, context_.counters);
    }
    box.Flush();
  }

  // Pieces of a packet go on where it stood.
  class Pieces final : public pkt::Drain {
   public:
    Pieces(Lane& lane, uint32_t peer, uint16_t mtu) : lane_(lane), peer_(peer), mtu_(mtu) {}
    void Take(pkt::Batch& batch) override {
      for (Packet* piece : batch) lane_.SendPiece(*piece, peer_, mtu_);
      batch.Clear();
    }

   private:
    Lane& lane_;
    uint32_t peer_;
    uint16_t mtu_;
  };

  void SendPiece(Packet& packet, uint32_t index, uint16_t mtu) {
    const Peer& peer = table_.peers()[index];
    const IpView view = ParseAgain(packet);
    const uint32_t wire = packet.super_packet() ? WireBytes(packet, view) : view.bytes;
    packet.peer = index;
    if (wire > mtu || OuterIpBytes(packet, peer) > kIpBytesMax)
      return SendInPieces(packet, peer, mtu);
    PutOuter<kEncapsulation>(format_, peer, view.tos, HashFlow(packet.data + kIp, view), packet);
    forward_.Push(&packet);
  }

  // A super-packet near 64 KiB cannot be described by an outer length field: how many of its
  // segments can, and fit one of our frames.
  uint32_t SegmentsThatFit(const Packet& packet, uint32_t wire_bytes, const Peer& peer) const {
    const uint32_t header = kIp + wire_bytes - packet.gso_size;
    const uint32_t wire_max = kIpBytesMax - OuterGrowth(format_, peer);
    const uint32_t frame_max = context_.frames.frame_bytes() - pkt::kHeadroomBytes;
    const uint32_t longest = std::min(wire_max, frame_max);
    return longest > header ? std::max(1u, (longest - header) / packet.gso_size) : 1;
  }

  void Drop(Packet& packet, DropReason why) {
    context_.counters.Drop(why, packet.segments);
    pkt::Give(&packet);
  }

  void Punt(Packet& packet) {
    context_.counters.punts.Add(packet.segments);
    punt_.Push(&packet);
  }

  void AnswerOrDrop(Packet& packet, Answer answer, uint32_t mtu, DropReason otherwise) {
    const IpView view = ParseAgain(packet);
    const uint8_t* ip = packet.data + kIp;
    if (!Answerable(ip, view)) return Drop(packet, otherwise);
    const uint32_t source = view.family == 4 ? base::Load<uint32_t>(ip + net::Ipv4::kSource)
                                             : base::Load<uint32_t>(ip + net::Ipv6::kSource + 12);
    if (!context_.replies.Allow(context_.now_ns, source)) return Drop(packet, otherwise);
    context_.counters.replies.Add(packet.segments);
    WriteAnswer(packet, view, answer, mtu);
    reply_.Push(&packet);
  }

  const Context& context_;
  const fwd::Snapshot& table_;
  const fwd::Format& format_;
  pkt::Outbox& forward_;
  pkt::Outbox& reply_;
  pkt::Outbox& punt_;
  uint64_t packets_ = 0;  // Of this batch; the counters are touched once.
  uint64_t bytes_ = 0;
};

}  // namespace

void Encap(const Context& context, pkt::Batch& in, pkt::Outbox& forward, pkt::Outbox& reply,
           pkt::Outbox& punt) {
  if (in.count == 0) return;
  if (context.table.format().encapsulation == fwd::Encapsulation::kVxlan) {
    Lane<fwd::Encapsulation::kVxlan>(context, forward, reply, punt).Run(in);
  } else {
    Lane<fwd::Encapsulation::kUdp>(context, forward, reply, punt).Run(in);
  }
}

}  // namespace path
