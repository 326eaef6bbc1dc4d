// A packet's way from the overlay to the underlay:
//   1. parse     Ethernet type, IP header, lengths; padding is cut off
//   2. offload   checksum and segmentation metadata against the headers; segments counted
//   3. check     source is ours, destination may be carried, not nested, TTL alive
//   4. find      VXLAN: VTEP MAC exactly, else longest prefix; udp: longest prefix
//   5. fit       wire length of each segment against the peer's path
//   6. put on    template, lengths, source port, ECN, checksums
// Steps 1-4 run over the whole batch first and prefetch each packet's peer; 5 and 6 then find it in
// cache. Steps 4 and 5 may end in an ICMP answer, at a limited rate.
#include "path/encap.h"

#include <cstring>

#include "base/assert.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "path/icmp_reply.h"
#include "path/parse.h"

namespace path {

namespace {

using fwd::Peer;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;  // Inner frames: where the IP header starts.
constexpr uint8_t kEcnMask = 3;

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

uint32_t FindPeer(const fwd::Snapshot& table, const Packet& packet, const IpView& view) {
  if (table.format().encapsulation == fwd::Encapsulation::kVxlan) {
    const uint32_t peer = table.FindVtep(packet.data);
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

// The outer UDP checksum: of the whole datagram, or what lets somebody finish it later (see
// pkt::Packet::outer_checksum).
void FillOuterChecksum(Packet& packet, const Peer& peer, uint8_t* udp, uint32_t udp_bytes) {
  const uint64_t pseudo = peer.pseudo_sum + base::SwapBytes(static_cast<uint16_t>(udp_bytes));
  if (packet.super_packet()) {
    base::Store(udp + net::kUdpChecksum, net::Fold(pseudo));
    packet.outer_checksum = true;
    return;
  }
  uint64_t sum;
  if (packet.checksum == pkt::Checksum::kPartial) {
    // Once the inner field is filled, everything from csum_start on sums up to the complement of
    // what the field holds now. So the outer checksum is known without touching the payload.
    const uint8_t* start = packet.data + packet.csum_start;
    sum = net::Sum(udp, static_cast<size_t>(start - udp), pseudo) +
          static_cast<uint16_t>(~base::Load<uint16_t>(start + packet.csum_offset));
  } else {
    sum = net::Sum(udp, udp_bytes, pseudo);
  }
  base::Store(udp + net::kUdpChecksum, net::FinishUdp(sum));
}

template <typename Ip>
void PatchIp(uint8_t* ip, const Peer& peer, uint32_t bytes, uint8_t tos) {
  if constexpr (Ip::kFamily == 4) {
    const uint16_t total = base::SwapBytes(static_cast<uint16_t>(bytes));
    base::Store(ip + 2, total);
    ip[1] = tos;
    base::Store(ip + Ip::kChecksum,
                net::Finish(uint64_t{peer.ip_sum} + total + (uint32_t{tos} << 8)));
  } else {
    Ip::SetTotalBytes(ip, bytes);
    Ip::SetTos(ip, tos);
  }
}

// Step 6. The inner packet has passed everything and fits.
void PutOn(const Context& context, Packet& packet, const IpView& view, const Peer& peer) {
  const fwd::Format& format = context.table.format();
  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  const uint32_t hash = HashFlow(packet.data + kIp, view);
  const uint32_t skipped = vxlan ? 0 : kIp;  // The udp format carries bare IP.
  const uint32_t grown = peer.outer_bytes - skipped;
  RS_ASSERT(packet.headroom() + skipped >= fwd::kTemplateBytes);
  std::memcpy(packet.data + skipped - fwd::kTemplateBytes, peer.outer, fwd::kTemplateBytes);
  packet.data -= grown;
  packet.len += grown;
  if (packet.checksum == pkt::Checksum::kPartial)
    packet.csum_start = static_cast<uint16_t>(packet.csum_start + grown);
  packet.inner_offset = peer.outer_bytes;
  packet.outer_l4_offset = static_cast<uint16_t>(
      net::kEthernetBytes + (peer.family == 4 ? net::Ipv4::kHeaderBytes : net::Ipv6::kHeaderBytes));

  uint8_t* ip = packet.data + net::kEthernetBytes;
  uint8_t* udp = packet.data + packet.outer_l4_offset;
  const uint32_t udp_bytes = packet.len - packet.outer_l4_offset;
  const auto tos = static_cast<uint8_t>(
      format.copy_dscp ? view.tos : view.tos & kEcnMask);  // RFC 6040, normal mode.
  if (peer.family == 4) {
    PatchIp<net::Ipv4>(ip, peer, packet.len - net::kEthernetBytes, tos);
  } else {
    PatchIp<net::Ipv6>(ip, peer, packet.len - net::kEthernetBytes, tos);
  }
  base::StoreBe16(udp, net::EntropyPort(hash));
  base::StoreBe16(udp + net::kUdpLength, static_cast<uint16_t>(udp_bytes));
  if (peer.family == 6 || format.checksum_v4) FillOuterChecksum(packet, peer, udp, udp_bytes);
}

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
    if (WireBytes(packet, work.view) > peer.inner_mtu) {
      return AnswerOrDrop(packet, work.view, Answer::kTooBig, peer.inner_mtu, DropReason::kTooBig);
    }
    if (context_.table.format().encapsulation == fwd::Encapsulation::kUdp) {
      if (work.view.ttl <= 1)
        return AnswerOrDrop(packet, work.view, Answer::kTimeExceeded, 0, DropReason::kTtl);
      uint8_t* ip = packet.data + kIp;
      const auto ttl = static_cast<uint8_t>(work.view.ttl - 1);
      work.view.family == 4 ? net::Ipv4::SetTtl(ip, ttl) : net::Ipv6::SetTtl(ip, ttl);
    }
    packet.peer = work.peer;
    PutOn(context_, packet, work.view, peer);
    forward_.Push(&packet);
  }

 private:
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
  context.counters.rx_batches.Add(1);
  Lane lane(context, forward, reply, punt);
  Work work[pkt::kBatchMax];
  for (uint32_t i = 0; i < in.count; ++i) lane.Look(*in.items[i], work[i]);
  for (uint32_t i = 0; i < in.count; ++i) lane.Finish(*in.items[i], work[i]);
  in.Clear();
}

}  // namespace path
