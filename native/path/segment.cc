// Lays the headers out once, then copies and patches them for each piece. Thread: a worker.
#include "path/segment.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/parse.h"

namespace path {

namespace {

using pkt::DropReason;
using pkt::Packet;

// Where everything is in the super-packet; the same for every piece. Bytes from data.
struct Layout {
  IpView view;
  uint32_t ip = 0;  // The segmented packet's own IP header: the inner one when encapsulated.
  uint32_t l4 = 0;
  uint32_t header = 0;  // All that each piece repeats.
  uint32_t payload = 0;
};

bool Lay(Packet& packet, Layout& layout) {
  layout.ip = net::kEthernetBytes;
  if (packet.inner_offset != 0) {
    const bool vxlan =
        packet.inner_offset - packet.outer_l4_offset == net::kUdpBytes + net::kVxlanBytes;
    layout.ip = packet.inner_offset + (vxlan ? net::kEthernetBytes : 0);
  }
  if (packet.len <= layout.ip || packet.gso == pkt::Gso::kNone) return false;
  const uint8_t* ip = packet.data + layout.ip;
  const uint16_t type = ip[0] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  if (ParseIp(ip, packet.len - layout.ip, type, layout.view) != kPass) return false;
  if (CheckOffload(packet, layout.ip, layout.view) != kPass) return false;
  layout.l4 = layout.ip + layout.view.l4;
  const bool udp = packet.gso == pkt::Gso::kUdp;
  layout.header = layout.l4 + (udp ? net::kUdpBytes : net::TcpHeaderBytes(packet.data + layout.l4));
  layout.payload = layout.ip + layout.view.bytes - layout.header;
  return true;
}

// Lengths and checksum of the outer headers of a finished piece. Behind `l4` everything sums up to
// the complement of the inner pseudo header, so the payload is not read again.
template <typename Ip>
void PatchOuter(Packet& piece, const Layout& layout, bool checksum, uint64_t inner_pseudo) {
  uint8_t* ip = piece.data + net::kEthernetBytes;
  uint8_t* udp = piece.data + piece.outer_l4_offset;
  const uint32_t udp_bytes = piece.len - piece.outer_l4_offset;
  Ip::SetTotalBytes(ip, piece.len - net::kEthernetBytes);
  base::StoreBe16(udp + net::kUdpLength, static_cast<uint16_t>(udp_bytes));
  base::Store<uint16_t>(udp + net::kUdpChecksum, 0);
  if (!checksum) return;
  const uint64_t sum = net::Sum(udp, layout.l4 - piece.outer_l4_offset,
                                net::PseudoSum<Ip>(ip, net::kProtocolUdp, udp_bytes)) +
                       net::Finish(inner_pseudo);
  base::Store(udp + net::kUdpChecksum, net::FinishUdp(sum));
}

struct Piece {
  uint32_t offset;    // Of its payload within the super-packet's.
  uint32_t payload;   // Bytes.
  uint32_t segments;  // Wire packets before it.
  bool first, last;
};

void PatchTcp(uint8_t* tcp, const Piece& piece) {
  base::StoreBe32(tcp + net::kTcpSequence, base::LoadBe32(tcp + net::kTcpSequence) + piece.offset);
  if (!piece.first) tcp[net::kTcpFlags] &= static_cast<uint8_t>(~net::kTcpCwr);
  if (!piece.last) tcp[net::kTcpFlags] &= static_cast<uint8_t>(~(net::kTcpFin | net::kTcpPsh));
}

// Makes the copied headers those of this piece. `whole` pieces get their checksum, others its
// start.
template <typename Ip>
void PatchInner(const Packet& from, Packet& to, const Layout& layout, const Piece& piece,
                bool whole) {
  uint8_t* ip = to.data + layout.ip;
  uint8_t* l4 = to.data + layout.l4;
  const bool udp = from.gso == pkt::Gso::kUdp;
  const uint32_t l4_bytes = layout.header - layout.l4 + piece.payload;
  Ip::SetTotalBytes(ip, layout.view.l4 + l4_bytes);
  if constexpr (Ip::kFamily == 4) {
    const auto id = static_cast<uint16_t>(base::LoadBe16(ip + Ip::kId) + piece.segments);
    Ip::SetWord(ip, Ip::kId, base::SwapBytes(id));
  }
  if (udp) {
    base::StoreBe16(l4 + net::kUdpLength, static_cast<uint16_t>(l4_bytes));
  } else {
    PatchTcp(l4, piece);
  }
  const uint64_t pseudo = net::PseudoSum<Ip>(ip, layout.view.protocol, l4_bytes);
  uint8_t* field = l4 + (udp ? net::kUdpChecksum : net::kTcpChecksum);
  base::Store(field, net::Fold(pseudo));
  if (!whole) return;
  const uint64_t sum = net::Sum(l4, l4_bytes);
  base::Store(field, udp ? net::FinishUdp(sum) : net::Finish(sum));
  if (from.inner_offset == 0) return;
  const bool v4 = to.data[net::kEthernetBytes] >> 4 == 4;
  v4 ? PatchOuter<net::Ipv4>(to, layout, from.outer_checksum, pseudo)
     : PatchOuter<net::Ipv6>(to, layout, from.outer_checksum, pseudo);
}

void CopyPiece(const Packet& from, Packet& to, const Layout& layout, const Piece& piece) {
  std::memcpy(to.data, from.data, layout.header);
  std::memcpy(to.data + layout.header, from.data + layout.header + piece.offset, piece.payload);
  to.len = layout.header + piece.payload;
  to.inner_offset = from.inner_offset;
  to.outer_l4_offset = from.outer_l4_offset;
  to.peer = from.peer;
  if (piece.payload <= from.gso_size) return;
  to.gso = from.gso;
  to.gso_size = from.gso_size;
  to.gso_ecn = from.gso_ecn && piece.first;
  to.segments = static_cast<uint16_t>((piece.payload + from.gso_size - 1) / from.gso_size);
  to.checksum = pkt::Checksum::kPartial;
  to.csum_start = from.csum_start;
  to.csum_offset = from.csum_offset;
}

}  // namespace

void Split(Packet* super_packet, uint32_t segments_each, pkt::FramePool& pool, pkt::Outbox& out,
           pkt::LaneCounters& counters) {
  Layout layout;
  if (const uint16_t counted = super_packet->segments; !Lay(*super_packet, layout)) {
    counters.Drop(DropReason::kRxTruncated, counted);
    return pkt::Give(super_packet);
  }
  const uint32_t step = super_packet->gso_size * segments_each;
  const uint32_t longest = layout.header + std::min(step, layout.payload);
  const bool fits = pkt::kHeadroomBytes + longest <= pool.frame_bytes();
  Piece piece{0, 0, 0, true, false};
  do {
    piece.payload = std::min(step, layout.payload - piece.offset);
    piece.last = piece.offset + piece.payload == layout.payload;
    Packet* made = fits ? pool.Take() : nullptr;
    if (made == nullptr) {
      counters.Drop(DropReason::kNoFrame, super_packet->segments - piece.segments);
      break;
    }
    CopyPiece(*super_packet, *made, layout, piece);
    const bool whole = made->gso == pkt::Gso::kNone;
    layout.view.family == 4 ? PatchInner<net::Ipv4>(*super_packet, *made, layout, piece, whole)
                            : PatchInner<net::Ipv6>(*super_packet, *made, layout, piece, whole);
    piece.offset += piece.payload;
    piece.segments += made->segments;
    piece.first = false;
    out.Push(made);
  } while (!piece.last);
  pkt::Give(super_packet);
}

void Segment(Packet* super_packet, pkt::FramePool& pool, pkt::Outbox& out,
             pkt::LaneCounters& counters) {
  Split(super_packet, 1, pool, out, counters);
}

void FillChecksum(Packet* packet) {
  if (packet->checksum != pkt::Checksum::kPartial) return;
  packet->checksum = pkt::Checksum::kUnknown;
  // An outer checksum needs no correction: it was computed for the inner field as filled here.
  const uint64_t sum =
      net::Sum(packet->data + packet->csum_start, packet->len - packet->csum_start);
  base::Store(packet->data + packet->csum_start + packet->csum_offset,
              packet->csum_offset == net::kUdpChecksum ? net::FinishUdp(sum) : net::Finish(sum));
}

}  // namespace path
