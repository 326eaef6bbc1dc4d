// Out: source is a station, learn it here; find the destination; fits the path; outer headers on.
// In: outer checks; VXLAN header; source is a station and not somebody else's; learn it there; the
// destination is not at another node; ECN; outer headers off. Thread: a worker.
#include "path/bridge.h"

#include <cstring>

#include "net/ethernet.h"
#include "net/vxlan.h"
#include "path/ecn.h"
#include "path/outer.h"
#include "path/outer_check.h"
#include "path/outer_cut.h"
#include "path/parse.h"
#include "path/segment.h"
#include "path/unfilled.h"

namespace path {

namespace {

using fwd::Fdb;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr fwd::Encapsulation kVxlan = fwd::Encapsulation::kVxlan;

bool IsGroup(const uint8_t* mac) { return (mac[0] & 1) != 0; }
// One station may have it: not a group, not nobody.
bool IsStation(const uint8_t* mac) { return !IsGroup(mac) && net::MacKey(mac) != 0; }

// A flow is what the IP header says, or else two stations.
uint32_t Hash(const Packet& packet, const IpView& view) {
  if (view.family != 0) return HashFlow(packet.data + kIp, view);
  const uint64_t hash =
      net::MixHash(base::Load<uint64_t>(packet.data), base::Load<uint32_t>(packet.data + 8));
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

// What the outer headers need to know of the frame. Anything but whole IP counts as "no IP".
IpView ViewOf(const Packet& packet) {
  IpView view;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  if (ParseIp(packet.data + kIp, packet.len - kIp, type, view) != kPass) return IpView{};
  return view;
}

class Bridge final : public pkt::Drain {
 public:
  Bridge(const BridgeContext& context, pkt::Outbox& to) : context_(context), to_(to) {}

  void Out(Packet& packet) {
    Count(packet);
    if (packet.len < net::kEthernetBytes) return Drop(packet, DropReason::kInnerLength);
    if (packet.super_packet() || packet.checksum == pkt::Checksum::kPartial)
      return Drop(packet, DropReason::kRxTruncated);
    const uint8_t* source = packet.data + net::kEtherSource;
    if (!IsStation(source) || Static(source) != fwd::kNoPeer)
      return Drop(packet, DropReason::kInnerMac);
    if (context_.learns) Learn(source, Fdb::kHere);
    if (IsGroup(packet.data)) return Flood(packet);
    uint32_t peer = Static(packet.data);
    if (peer == fwd::kNoPeer) {
      const uint32_t node = context_.fdb.Find(net::MacKey(packet.data), context_.now_ns);
      if (node == Fdb::kHere) return Drop(packet, DropReason::kInnerDestination);
      if (node != Fdb::kUnknown) peer = context_.table.FindId(node);
    }
    if (peer == fwd::kNoPeer) return context_.punt != nullptr ? Punt(packet) : Flood(packet);
    Send(packet, peer, ViewOf(packet));
  }

  void In(Packet& packet) {
    context_.counters.rx_bytes.Add(packet.len);
    if (IsOuterSuperPacket(packet)) return Cut(packet);
    packet.segments = 1;
    const DropReason why = Unwrap(packet);
    context_.counters.rx_packets.Add(packet.segments);
    End(packet, why);
  }

  // Datagrams out of a super-packet: already counted, their outer checksum made by us.
  void Take(pkt::Batch& batch) override {
    for (Packet* packet : batch) {
      packet->checksum = pkt::Checksum::kVerified;
      packet->segments = 1;
      End(*packet, Unwrap(*packet));
    }
    batch.Clear();
  }

 private:
  void Count(const Packet& packet) {
    context_.counters.rx_packets.Add(1);
    context_.counters.rx_bytes.Add(packet.len);
  }

  void Cut(Packet& packet) {
    const bool sound = CountOuterDatagrams(packet);
    context_.counters.rx_packets.Add(packet.segments);
    if (!sound) return End(packet, DropReason::kRxTruncated);
    pkt::Outbox datagrams(*this);
    Segment(&packet, context_.frames, datagrams, context_.counters);
    datagrams.Flush();
  }

  void End(Packet& packet, DropReason why) {
    if (why == kPass) return to_.Push(&packet);
    context_.counters.Drop(why, packet.segments);
    pkt::Give(&packet);
  }

  void Drop(Packet& packet, DropReason why) {
    context_.counters.Drop(why, 1);
    pkt::Give(&packet);
  }

  void Punt(Packet& packet) {
    context_.counters.punts.Add(1);
    context_.punt->Push(&packet);
  }

  uint32_t Static(const uint8_t* mac) const { return context_.table.FindVtep(mac, 0); }

  void Learn(const uint8_t* mac, uint32_t node) {
    switch (context_.fdb.Learn(net::MacKey(mac), node, context_.now_ns)) {
      case Fdb::Learned::kKnown:
        return;
      case Fdb::Learned::kNew:
        return context_.bridge.learned.Add(1);
      case Fdb::Learned::kMoved:
        return context_.bridge.moved.Add(1);
      case Fdb::Learned::kEvicted:
        context_.bridge.learned.Add(1);
        return context_.bridge.evicted.Add(1);
    }
  }

  // Every node gets one: the last one the packet itself, the others copies.
  void Flood(Packet& packet) {
    if (!context_.floods) return Drop(packet, DropReason::kNoPeer);
    const auto peers = static_cast<uint32_t>(context_.table.peers().size());
    const IpView view = ViewOf(packet);
    uint32_t last = fwd::kNoPeer;
    for (uint32_t peer = 0; peer < peers; ++peer) {
      if (context_.table.NodeOf(peer) != peer) continue;  // Another entry of the same node.
      if (last != fwd::kNoPeer) SendCopy(packet, last, view);
      last = peer;
    }
    if (last == fwd::kNoPeer) return Drop(packet, DropReason::kNoPeer);
    context_.bridge.flooded.Add(1);
    Send(packet, last, view);
  }

  void SendCopy(const Packet& packet, uint32_t peer, const IpView& view) {
    context_.bridge.copies.Add(1);
    Packet* copy = context_.frames.Take();
    if (copy == nullptr || copy->tailroom() < packet.len) {
      context_.counters.Drop(DropReason::kNoFrame, 1);
      if (copy != nullptr) pkt::Give(copy);
      return;
    }
    copy->len = packet.len;
    copy->checksum = packet.checksum;
    std::memcpy(copy->data, packet.data, packet.len);
    Send(*copy, peer, view);
  }

  void Send(Packet& packet, uint32_t index, const IpView& view) {
    const fwd::Peer& peer = context_.table.peers()[index];
    if (!peer.ready) return Drop(packet, DropReason::kNoPeer);
    if (packet.len - net::kEthernetBytes > peer.inner_mtu) return Drop(packet, DropReason::kTooBig);
    packet.peer = index;
    PutOuter<kVxlan>(context_.table.format(), peer, view.tos, Hash(packet, view), packet);
    to_.Push(&packet);
  }

  DropReason Unwrap(Packet& packet) {
    Outer outer;
    DropReason why = CheckOuter<kVxlan>(context_.table, packet, outer);
    if (why == kPass) why = FindSender(context_.table, packet, outer);
    if (why == kPass) why = CheckVxlanHeader(context_.table, packet.data + outer.payload);
    if (why != kPass) return why;
    const uint32_t inner = outer.payload + net::kVxlanBytes;
    const uint8_t *destination = packet.data + inner, *source = destination + net::kEtherSource;
    if (!IsStation(source)) return DropReason::kInnerMac;
    if (const uint32_t owner = Static(source);
        owner != fwd::kNoPeer && context_.table.NodeOf(owner) != outer.peer)
      return DropReason::kInnerSource;
    if (context_.learns) Learn(source, context_.table.peers()[outer.peer].id);
    if (!IsGroup(destination) && IsElsewhere(destination)) return DropReason::kInnerDestination;
    packet.data += inner;
    packet.len = outer.end - inner;
    // A checksum that nobody has filled yet is the outer one's, or the inner one's.
    const bool outers = packet.csum_start == outer.udp && !packet.super_packet();
    if (packet.checksum == pkt::Checksum::kPartial && !outers) {
      packet.csum_start = static_cast<uint16_t>(packet.csum_start - inner);
    } else {
      packet.checksum = pkt::Checksum::kUnknown;
    }
    packet.inner_offset = 0;
    packet.outer_l4_offset = 0;
    packet.outer_checksum = false;
    packet.peer = outer.peer;
    const IpView view = ViewOf(packet);
    if (why = CheckOffload(packet, kIp, view); why != kPass) return why;
    if (view.family == 4) return Finish<net::Ipv4>(packet, outer.tos, view);
    return view.family == 6 ? Finish<net::Ipv6>(packet, outer.tos, view) : kPass;
  }

  template <typename Ip>
  DropReason Finish(Packet& packet, uint8_t outer_tos, const IpView& view) const {
    if (context_.table.format().unfilled_checksums && packet.checksum == pkt::Checksum::kUnknown)
      MarkUnfilled<Ip>(packet, kIp, view);
    return CombineEcn<Ip>(outer_tos, packet.data + kIp, view);
  }

  // A node that does not know it yet sent it to everybody; it is not ours to deliver.
  bool IsElsewhere(const uint8_t* mac) const {
    if (Static(mac) != fwd::kNoPeer) return true;
    const uint32_t node = context_.fdb.Find(net::MacKey(mac), context_.now_ns);
    return node != Fdb::kHere && node != Fdb::kUnknown &&
           context_.table.FindId(node) != fwd::kNoPeer;
  }

  const BridgeContext& context_;
  pkt::Outbox& to_;
};

}  // namespace

void BridgeOut(const BridgeContext& context, pkt::Batch& in, pkt::Outbox& forward) {
  context.counters.rx_frames.Add(in.count);
  Bridge bridge(context, forward);
  for (Packet* packet : in) bridge.Out(*packet);
  in.Clear();
}

void BridgeIn(const BridgeContext& context, pkt::Batch& in, pkt::Outbox& deliver) {
  context.counters.rx_frames.Add(in.count);
  Bridge bridge(context, deliver);
  for (Packet* packet : in) bridge.In(*packet);
  in.Clear();
}

}  // namespace path
