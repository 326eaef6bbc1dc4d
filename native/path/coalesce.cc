// One batch's way through coalescing:
//   1. read    what merges at all: a TCP segment with payload and no flags but ACK and PSH, or UDP
//   2. group   append each packet to its flow's open group, or close that and open another
//   3. emit    groups in the order of their first packets; those of two and more in one big frame
// Nothing is copied before a group is complete.
#include "path/coalesce.h"

#include <cstring>

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "path/parse.h"

namespace path {

namespace {

using pkt::Checksum;
using pkt::DropReason;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr uint32_t kIpBytesMax = 65535;
constexpr uint32_t kTableSlots = 2 * pkt::kBatchMax;
constexpr uint8_t kNone = 0xff;

struct Item {
  uint32_t hash = 0;
  uint16_t header = 0;  // Bytes from data to the L4 payload.
  uint16_t l4 = 0;      // Bytes from data to the L4 header.
  uint16_t payload = 0;
  uint8_t protocol = 0;
  uint8_t family = 0;
  bool has_flow = false;  // TCP or UDP with its ports: order matters.
  bool merges = false;
  uint8_t next = kNone;  // In its group.
};

struct Group {
  uint8_t first, last;
  uint8_t count = 1;
  bool open;
  bool damaged = false;  // Its only packet has a wrong checksum.
  uint32_t payload;      // Of all.
};

bool MayMergeTcp(const uint8_t* tcp, Item& item, uint32_t end) {
  if (end < item.l4 + net::kTcpBytes) return false;
  const uint32_t header = net::TcpHeaderBytes(tcp);
  if (header < net::kTcpBytes || item.l4 + header >= end) return false;
  item.header = static_cast<uint16_t>(item.l4 + header);
  return (tcp[net::kTcpFlags] & ~net::kTcpPsh) == net::kTcpAck;
}

bool MayMergeUdp(const uint8_t* udp, Item& item, uint32_t end) {
  item.header = static_cast<uint16_t>(item.l4 + net::kUdpBytes);
  if (end <= item.header || base::LoadBe16(udp + net::kUdpLength) != end - item.l4) return false;
  return base::Load<uint16_t>(udp + net::kUdpChecksum) != 0;  // A super-packet would give it one.
}

Item Read(const Packet& packet, CoalesceRules rules) {
  Item item;
  const uint8_t* ip = packet.data + kIp;
  IpView view;
  if (packet.len <= kIp || packet.super_packet()) return item;
  if (ParseIp(ip, packet.len - kIp, base::LoadBe16(packet.data + net::kEtherType), view) != kPass) {
    return item;
  }
  const bool tcp = view.protocol == net::kProtocolTcp;
  if (view.fragment || view.l4 == 0 || view.bytes < view.l4 + net::kUdpBytes ||
      (!tcp && view.protocol != net::kProtocolUdp)) {
    return item;
  }
  item.hash = HashFlow(ip, view);
  item.l4 = static_cast<uint16_t>(kIp + view.l4);
  item.protocol = view.protocol;
  item.family = view.family;
  item.has_flow = true;
  // IP options and extension headers are rare and not worth comparing.
  if (view.l4 != (view.family == 4 ? net::Ipv4::kHeaderBytes : net::Ipv6::kHeaderBytes))
    return item;
  if (packet.len != kIp + view.bytes) return item;
  if (!rules.verify && packet.checksum == Checksum::kUnknown) return item;
  const uint8_t* l4 = packet.data + item.l4;
  item.merges =
      tcp ? MayMergeTcp(l4, item, packet.len) : rules.udp && MayMergeUdp(l4, item, packet.len);
  if (item.merges) item.payload = static_cast<uint16_t>(packet.len - item.header);
  return item;
}

template <typename Ip>
bool SameFlowOf(const uint8_t* a, const uint8_t* b, uint32_t ports) {
  return std::memcmp(a + Ip::kSource, b + Ip::kSource, 2 * Ip::kAddressBytes) == 0 &&
         std::memcmp(a + ports, b + ports, 4) == 0;
}

bool SameFlow(const Packet& a, const Item& x, const Packet& b, const Item& y) {
  if (x.hash != y.hash || x.protocol != y.protocol || x.family != y.family || x.l4 != y.l4) {
    return false;
  }
  return x.family == 4 ? SameFlowOf<net::Ipv4>(a.data + kIp, b.data + kIp, x.l4 - kIp)
                       : SameFlowOf<net::Ipv6>(a.data + kIp, b.data + kIp, x.l4 - kIp);
}

// Everything in the IP header that segmentation would repeat. `nth`: b's place in the group.
bool SameIpHeader(const uint8_t* a, const uint8_t* b, uint8_t family, uint32_t nth) {
  if (family == 6) {  // Traffic class and flow label; hop limit.
    return std::memcmp(a, b, 4) == 0 && net::Ipv6::Ttl(a) == net::Ipv6::Ttl(b);
  }
  if (net::Ipv4::Tos(a) != net::Ipv4::Tos(b) || net::Ipv4::Ttl(a) != net::Ipv4::Ttl(b))
    return false;
  const uint16_t flags = base::Load<uint16_t>(a + net::Ipv4::kFragment);
  if (flags != base::Load<uint16_t>(b + net::Ipv4::kFragment)) return false;
  // With DF the id means nothing (RFC 6864); without, segmentation must be able to restore it.
  if (flags == base::SwapBytes(net::Ipv4::kDontFragment)) return true;
  return base::LoadBe16(b + net::Ipv4::kId) ==
         static_cast<uint16_t>(base::LoadBe16(a + net::Ipv4::kId) + nth);
}

// Acknowledgment, header length, reserved bits, window, urgent pointer and options are those of the
// first; the sequence number follows on.
bool SameTcpHeader(const uint8_t* a, const uint8_t* b, uint32_t bytes, uint32_t payload) {
  if (base::LoadBe32(b + net::kTcpSequence) != base::LoadBe32(a + net::kTcpSequence) + payload) {
    return false;
  }
  return std::memcmp(a + net::kTcpAcknowledgment, b + net::kTcpAcknowledgment, 5) == 0 &&
         std::memcmp(a + net::kTcpWindow, b + net::kTcpWindow, 2) == 0 &&
         std::memcmp(a + net::kTcpChecksum + 2, b + net::kTcpChecksum + 2, bytes - 18) == 0;
}

bool ChecksumRight(const Packet& packet, const Item& item) {
  if (packet.checksum != Checksum::kUnknown) return true;
  const uint32_t bytes = packet.len - item.l4;
  const uint8_t* ip = packet.data + kIp;
  const uint64_t pseudo = item.family == 4 ? net::PseudoSum<net::Ipv4>(ip, item.protocol, bytes)
                                           : net::PseudoSum<net::Ipv6>(ip, item.protocol, bytes);
  return net::Fold(net::Sum(packet.data + item.l4, bytes, pseudo)) == 0xffff;
}

class Coalescer {
 public:
  Coalescer(pkt::Batch& in, pkt::FramePool& big, pkt::Outbox& out, pkt::LaneCounters& counters)
      : in_(in), big_(big), out_(out), counters_(counters) {
    std::memset(table_, kNone, sizeof table_);
  }

  void Run(CoalesceRules rules) {
    for (uint32_t i = 0; i < in_.count; ++i) {
      items_[i] = Read(*in_.items[i], rules);
      Place(static_cast<uint8_t>(i));
    }
    for (uint32_t group = 0; group < groups_used_; ++group) Emit(groups_[group]);
    in_.Clear();
  }

 private:
  // The table slot of a flow: where its latest group stands, or where it would.
  uint8_t& SlotOf(uint8_t i) {
    for (uint32_t at = items_[i].hash;; ++at) {
      uint8_t& slot = table_[at % kTableSlots];
      if (slot == kNone) return slot;
      const uint8_t other = groups_[slot].first;
      if (SameFlow(*in_.items[other], items_[other], *in_.items[i], items_[i])) return slot;
    }
  }

  void Place(uint8_t i) {
    const Item& item = items_[i];
    if (!item.has_flow) {
      Open(i, false);
      return;
    }
    uint8_t& slot = SlotOf(i);
    if (slot != kNone && groups_[slot].open && item.merges && Joins(groups_[slot], i)) return;
    slot = Open(i, item.merges && !Pushes(i));
  }

  uint8_t Open(uint8_t i, bool open) {
    groups_[groups_used_] = {i, i, 1, open, false, items_[i].payload};
    return static_cast<uint8_t>(groups_used_++);
  }

  bool Pushes(uint8_t i) const {
    return items_[i].protocol == net::kProtocolTcp &&
           (in_.items[i]->data[items_[i].l4 + net::kTcpFlags] & net::kTcpPsh) != 0;
  }

  bool Joins(Group& group, uint8_t i) {
    const Item &head = items_[group.first], &item = items_[i];
    const Packet &a = *in_.items[group.first], &b = *in_.items[i];
    const bool fits =
        item.payload <= head.payload && item.header == head.header && a.peer == b.peer &&
        std::memcmp(a.data, b.data, kIp) == 0 &&
        head.header - kIp + group.payload + item.payload <= kIpBytesMax &&
        pkt::kHeadroomBytes + head.header + group.payload + item.payload <= big_.frame_bytes();
    if (!fits || !SameIpHeader(a.data + kIp, b.data + kIp, head.family, group.count)) return false;
    if (item.protocol == net::kProtocolTcp &&
        !SameTcpHeader(a.data + head.l4, b.data + item.l4, head.header - head.l4, group.payload)) {
      return false;
    }
    if (group.count == 1 && !ChecksumRight(a, head)) {
      group.damaged = true;
      return false;
    }
    if (!ChecksumRight(b, item)) {
      // It must not merge; opened as a group of its own it is dropped there.
      const uint8_t own = Open(i, false);
      groups_[own].damaged = true;
      return true;
    }
    items_[group.last].next = i;
    group.last = i;
    ++group.count;
    group.payload += item.payload;
    group.open = item.payload == head.payload && !Pushes(i);
    return true;
  }

  void Emit(const Group& group) {
    Packet* first = in_.items[group.first];
    if (group.damaged) {
      counters_.Drop(DropReason::kInnerChecksum, first->segments);
      return pkt::Give(first);
    }
    Packet* made = group.count == 1 ? nullptr : big_.Take();
    if (made == nullptr) {
      for (uint8_t i = group.first; i != kNone; i = items_[i].next) out_.Push(in_.items[i]);
      return;
    }
    const Item& head = items_[group.first];
    std::memcpy(made->data, first->data, head.header);
    made->len = head.header;
    made->data[head.l4 + net::kTcpFlags] |= Pushes(group.last) ? net::kTcpPsh : uint8_t{0};
    for (uint8_t i = group.first; i != kNone; i = items_[i].next) {
      std::memcpy(made->data + made->len, in_.items[i]->data + items_[i].header, items_[i].payload);
      made->len += items_[i].payload;
      if (i != group.first) pkt::Give(in_.items[i]);
    }
    Describe(*made, *first, head, group.count);
    pkt::Give(first);
    out_.Push(made);
  }

  // Lengths, the pseudo-header sum and the metadata of a merged packet.
  static void Describe(Packet& made, const Packet& first, const Item& head, uint32_t count) {
    const bool v4 = head.family == 4, tcp = head.protocol == net::kProtocolTcp;
    uint8_t* ip = made.data + kIp;
    uint8_t* l4 = made.data + head.l4;
    const uint32_t l4_bytes = made.len - head.l4;
    v4 ? net::Ipv4::SetTotalBytes(ip, made.len - kIp)
       : net::Ipv6::SetTotalBytes(ip, made.len - kIp);
    if (!tcp) base::StoreBe16(l4 + net::kUdpLength, static_cast<uint16_t>(l4_bytes));
    const uint32_t field = tcp ? net::kTcpChecksum : net::kUdpChecksum;
    base::Store(l4 + field, net::Fold(v4 ? net::PseudoSum<net::Ipv4>(ip, head.protocol, l4_bytes)
                                         : net::PseudoSum<net::Ipv6>(ip, head.protocol, l4_bytes)));
    made.gso = !tcp ? pkt::Gso::kUdp : v4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6;
    made.gso_size = head.payload;
    made.segments = static_cast<uint16_t>(count);
    made.checksum = Checksum::kPartial;
    made.csum_start = head.l4;
    made.csum_offset = static_cast<uint16_t>(field);
    made.peer = first.peer;
  }

  pkt::Batch& in_;
  pkt::FramePool& big_;
  pkt::Outbox& out_;
  pkt::LaneCounters& counters_;
  Item items_[pkt::kBatchMax];
  Group groups_[pkt::kBatchMax];
  uint32_t groups_used_ = 0;
  uint8_t table_[kTableSlots];
};

}  // namespace

void Coalesce(pkt::Batch& in, pkt::FramePool& big, pkt::Outbox& out, pkt::LaneCounters& counters,
              CoalesceRules rules) {
  if (in.count == 0) return;
  Coalescer(in, big, out, counters).Run(rules);
}

}  // namespace path
