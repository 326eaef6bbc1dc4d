// The outer headers: put in front of an inner packet that has passed everything and fits.
// Thread: a worker. Checks nothing. Templates are ready-made (fwd/snapshot.cc); here only what
// differs from packet to packet is patched.
#pragma once

#include <cstring>

#include "base/assert.h"
#include "fwd/snapshot.h"
#include "net/checksum.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/ecn.h"
#include "pkt/packet.h"

namespace path {

// The outer UDP checksum: of the whole datagram, or what lets somebody finish it later (see
// pkt::Packet::outer_checksum).
void FillOuterChecksum(pkt::Packet& packet, const fwd::Peer& peer, uint8_t* udp,
                       uint32_t udp_bytes);

template <typename Ip>
inline void PatchIp(uint8_t* ip, const fwd::Peer& peer, uint32_t bytes, uint8_t tos) {
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

// Copies the peer's template before the inner frame (VXLAN) or over its Ethernet header (udp),
// patches lengths, source port, ECN and checksums, and shifts the packet's metadata. `tos` and
// `hash` are those of the inner packet.
template <fwd::Encapsulation kEncapsulation, typename Ip>
inline void PutOuterAs(const fwd::Format& format, const fwd::Peer& peer, uint8_t tos, uint32_t hash,
                       pkt::Packet& packet) {
  constexpr bool kVxlan = kEncapsulation == fwd::Encapsulation::kVxlan;
  constexpr uint32_t kUdp = net::kEthernetBytes + Ip::kHeaderBytes;
  constexpr uint32_t kOuter = kUdp + net::kUdpBytes + (kVxlan ? net::kVxlanBytes : 0);
  constexpr uint32_t kSkipped = kVxlan ? 0 : net::kEthernetBytes;  // udp carries bare IP.
  constexpr uint32_t kGrown = kOuter - kSkipped;
  // Whole vectors: what is copied too much lies before the frame.
  constexpr uint32_t kCopied = (kOuter + 15) / 16 * 16;
  static_assert(kCopied <= fwd::kTemplateBytes);
  RS_ASSERT(packet.headroom() + kSkipped >= kCopied);
  uint8_t* inner = packet.data + kSkipped;
  std::memcpy(inner - kCopied, peer.outer + fwd::kTemplateBytes - kCopied, kCopied);
  uint8_t* frame = inner - kOuter;
  const uint32_t bytes = packet.len + kGrown;
  packet.data = frame;
  packet.len = bytes;
  if (packet.checksum == pkt::Checksum::kPartial)
    packet.csum_start = static_cast<uint16_t>(packet.csum_start + kGrown);
  packet.inner_offset = kOuter;
  packet.outer_l4_offset = kUdp;

  // RFC 6040, normal mode: ECN always goes out with the packet, DSCP where it is asked for.
  PatchIp<Ip>(frame + net::kEthernetBytes, peer, bytes - net::kEthernetBytes,
              format.copy_dscp ? tos : static_cast<uint8_t>(tos & kEcnMask));
  uint8_t* udp = frame + kUdp;
  base::StoreBe16(udp, net::EntropyPort(hash));
  base::StoreBe16(udp + net::kUdpLength, static_cast<uint16_t>(bytes - kUdp));
  if (Ip::kFamily == 6 || format.checksum_v4) FillOuterChecksum(packet, peer, udp, bytes - kUdp);
}

template <fwd::Encapsulation kEncapsulation>
inline void PutOuter(const fwd::Format& format, const fwd::Peer& peer, uint8_t tos, uint32_t hash,
                     pkt::Packet& packet) {
  peer.family == 4 ? PutOuterAs<kEncapsulation, net::Ipv4>(format, peer, tos, hash, packet)
                   : PutOuterAs<kEncapsulation, net::Ipv6>(format, peer, tos, hash, packet);
}

// Bytes by which PutOuter lengthens a frame.
inline uint32_t OuterGrowth(const fwd::Format& format, const fwd::Peer& peer) {
  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  return peer.outer_bytes - (vxlan ? 0 : net::kEthernetBytes);
}

}  // namespace path
