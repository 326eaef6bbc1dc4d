// A packet's way from the overlay to the underlay:
//   1. parse     Ethernet type, IP header, lengths; padding is cut off
//   2. offload   checksum and segmentation metadata against the headers; segments counted
//   3. check     source is ours, destination may be carried, not nested, TTL alive
//   4. find      VXLAN: VTEP MAC exactly, else longest prefix; udp: longest prefix
//   5. fit       wire length of each segment against the peer's path
//   6. put on    the outer headers (path/outer.h)
// Steps 1-4 run over the whole batch first and prefetch each packet's peer; 5 and 6 then find it in
// cache. Steps 4 and 5 may end in an ICMP answer, at a limited rate.
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
constexpr uint32_t kAhead = 4;  // Packets between a prefetch and the use of what it fetches.

struct Work {
  IpView view;
  DropReason verdict = kPass;
  uint32_t peer = fwd::kNoPeer;
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

DropReason Inspect(const Context& context, Packet& packet, IpView& view) {
  const fwd::Format& format = context.table.format();
  if (packet.len < kIp) return DropReason::kInnerLength;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  if (type == net::kEtherTypeVlan || type == net::kEtherTypeServiceVlan)
    return DropReason::kInnerVlan;
  const uint8_t* ip = packet.data + kIp;
  if (const DropReason why = ParseIp(ip, packet.len - kIp, type, view); why != kPass) return why;
  packet.len = kIp + view.bytes;
  if (const DropReason why = CheckOffload(packet, kIp, view); why != kPass) return why;
  const DropReason addresses = view.family == 4 ? CheckAddresses<net::Ipv4>(context.table, ip)
                                                : CheckAddresses<net::Ipv6>(context.table, ip);
  if (addresses != kPass) return addresses;
  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  if (IsNested(ip, view, format.port, vxlan, format.vni)) return DropReason::kNested;
  return view.ttl == 0 ? DropReason::kTtl : kPass;
}

uint16_t EtherType(const Packet& packet) { return base::LoadBe16(packet.data + net::kEtherType); }

uint32_t FindPeer(const fwd::Snapshot& table, const Packet& packet, const IpView& view) {
  if (table.format().encapsulation == fwd::Encapsulation::kVxlan) {
    const uint32_t peer = table.FindVtep(packet.data, EtherType(packet));
    if (peer != fwd::kNoPeer) return peer;
  }
  const uint8_t* ip = packet.data + kIp;
  return view.family == 4 ? table.FindInner4(base::Load<uint32_t>(ip + net::Ipv4::kDestination))
                          : table.FindInner6(ip + net::Ipv6::kDestination);
}

// Bytes of the longest inner IP packet that leaves on the wire: what the path's MTU is held
// against. A super-packet's own length says nothing about that.
uint32_t WireBytes(const Packet& packet, const IpView& view) {
  if (!packet.super_packet()) return view.bytes;
  const uint8_t* l4 = packet.data + kIp + view.l4;
  const uint32_t l4_header =
      packet.gso == pkt::Gso::kUdp ? net::kUdpBytes : net::TcpHeaderBytes(l4);
  return std::min<uint32_t>(view.bytes, view.l4 + l4_header + packet.gso_size);
}

// One direction's work on one batch.
class Lane {
 public:
  Lane(const Context& context, pkt::Outbox& forward, pkt::Outbox& reply, pkt::Outbox& punt)
      : context_(context), forward_(forward), reply_(reply), punt_(punt) {}

  // Steps 1-4.
  void Look(Packet& packet, Work& work) {
    const uint32_t bytes = packet.len;
    work.verdict = Inspect(context_, packet, work.view);
    context_.counters.rx_packets.Add(packet.segments);
    context_.counters.rx_bytes.Add(bytes);
    if (work.verdict != kPass) return;
    work.peer = FindPeer(context_.table, packet, work.view);
    if (work.peer == fwd::kLocal) work.verdict = DropReason::kInnerDestination;
    if (work.peer >= context_.table.peers().size()) return;
    const Peer* peer = &context_.table.peers()[work.peer];
    __builtin_prefetch(peer);
    __builtin_prefetch(reinterpret_cast<const uint8_t*>(peer) + 64);
  }

  // Steps 5-6, or the end.
  void Finish(Packet& packet, const Work& work) {
    if (work.verdict != kPass) return Drop(packet, work.verdict);
    if (work.peer == fwd::kNoPeer)
      return AnswerOrDrop(packet, work.view, Answer::kUnreachable, 0, DropReason::kNoPeer);
    const Peer& peer = context_.table.peers()[work.peer];
    if (peer.loops) return Drop(packet, DropReason::kLoop);
    if (!peer.ready) {
      context_.counters.punts.Add(packet.segments);
      return punt_.Push(&packet);
    }
    const bool routed = context_.table.format().encapsulation == fwd::Encapsulation::kUdp;
    if (routed && work.view.ttl <= 1)
      return AnswerOrDrop(packet, work.view, Answer::kTimeExceeded, 0, DropReason::kTtl);
    if (WireBytes(packet, work.view) > peer.inner_mtu && !work.view.may_fragment)
      return AnswerOrDrop(packet, work.view, Answer::kTooBig, peer.inner_mtu, DropReason::kTooBig);
    if (routed) {
      uint8_t* ip = packet.data + kIp;
      const auto ttl = static_cast<uint8_t>(work.view.ttl - 1);
      work.view.family == 4 ? net::Ipv4::SetTtl(ip, ttl) : net::Ipv6::SetTtl(ip, ttl);
    }
    packet.peer = work.peer;
    Send(packet, work.view, peer);
  }

  // Encapsulates a packet, or the pieces of one that does not fit as it is.
  void Send(Packet& packet, const IpView& view, const Peer& peer) {
    const fwd::Format& format = context_.table.format();
    const bool too_big = WireBytes(packet, view) > peer.inner_mtu;
    const uint32_t outer_ip_bytes = packet.len + OuterGrowth(format, peer) - net::kEthernetBytes;
    if (!too_big && outer_ip_bytes <= kIpBytesMax) {
      PutOuter(format, peer, view, packet);
      return forward_.Push(&packet);
    }
    Pieces pieces(*this, packet.peer);
    pkt::Outbox box(pieces);
    if (!too_big) {
      Split(&packet, SegmentsThatFit(packet, view, peer), context_.frames, box, context_.counters);
    } else if (packet.super_packet()) {
      Segment(&packet, context_.frames, box, context_.counters);
    } else {
      Fragment(&packet, view, peer.inner_mtu, context_.frames, box, context_.counters);
    }
    box.Flush();
  }

 private:
  // Pieces of a packet go on where it stood.
  class Pieces final : public pkt::Drain {
   public:
    Pieces(Lane& lane, uint32_t peer) : lane_(lane), peer_(peer) {}
    void Take(pkt::Batch& batch) override {
      for (Packet* piece : batch) {
        IpView view;
        const uint16_t type = base::LoadBe16(piece->data + net::kEtherType);
        RS_ASSERT(ParseIp(piece->data + kIp, piece->len - kIp, type, view) == kPass);
        piece->peer = peer_;
        lane_.Send(*piece, view, lane_.context_.table.peers()[peer_]);
      }
      batch.Clear();
    }

   private:
    Lane& lane_;
    uint32_t peer_;
  };

  // A super-packet near 64 KiB cannot be described by an outer length field: how many of its
  // segments can, and fit one of our frames.
  uint32_t SegmentsThatFit(const Packet& packet, const IpView& view, const Peer& peer) const {
    const uint32_t header = kIp + WireBytes(packet, view) - packet.gso_size;
    const uint32_t wire_max = kIpBytesMax - OuterGrowth(context_.table.format(), peer);
    const uint32_t frame_max = context_.frames.frame_bytes() - pkt::kHeadroomBytes;
    const uint32_t longest = std::min(wire_max, frame_max);
    return longest > header ? std::max(1u, (longest - header) / packet.gso_size) : 1;
  }

  void Drop(Packet& packet, DropReason why) {
    context_.counters.Drop(why, packet.segments);
    pkt::Give(&packet);
  }

  void AnswerOrDrop(Packet& packet, const IpView& view, Answer answer, uint32_t mtu,
                    DropReason otherwise) {
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
  pkt::Outbox& forward_;
  pkt::Outbox& reply_;
  pkt::Outbox& punt_;
};

}  // namespace

void Encap(const Context& context, pkt::Batch& in, pkt::Outbox& forward, pkt::Outbox& reply,
           pkt::Outbox& punt) {
  if (in.count == 0) return;
  context.counters.rx_frames.Add(in.count);
  Lane lane(context, forward, reply, punt);
  Work work[pkt::kBatchMax];
  const bool vxlan = context.table.format().encapsulation == fwd::Encapsulation::kVxlan;
  for (uint32_t i = 0; i < in.count; ++i) {
    // Headers first, then, once they have come, the peer's place in the table.
    if (i + 2 * kAhead < in.count) __builtin_prefetch(in.items[i + 2 * kAhead]->data);
    if (vxlan && i + kAhead < in.count && in.items[i + kAhead]->len >= kIp) {
      context.table.PrefetchVtep(in.items[i + kAhead]->data, EtherType(*in.items[i + kAhead]));
    }
    lane.Look(*in.items[i], work[i]);
  }
  for (uint32_t i = 0; i < in.count; ++i) lane.Finish(*in.items[i], work[i]);
  in.Clear();
}

}  // namespace path
