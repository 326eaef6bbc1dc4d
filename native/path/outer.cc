// Templates are ready-made (fwd/snapshot.cc); here only what differs from packet to packet is
// patched. Thread: a worker.
#include "path/outer.h"

#include <cstring>

#include "base/assert.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"

namespace path {

namespace {

using fwd::Peer;
using pkt::Packet;

constexpr uint32_t kIp = net::kEthernetBytes;
constexpr uint8_t kEcnMask = 3;

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

}  // namespace

void PutOuter(const fwd::Format& format, const Peer& peer, const IpView& view, Packet& packet) {
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

}  // namespace path
