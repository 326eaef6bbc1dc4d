#include "port/vnet_header.h"

#include <cstring>

#include "base/endian.h"

namespace port {

namespace {

constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kDataValid = 2;
// Linux 6.17: each segment needs its outer UDP checksum filled.
constexpr uint8_t kUdpTunnelChecksum = 8;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoUdp = 5;         // UDP_L4, Linux 6.2.
constexpr uint8_t kGsoTunnel4 = 0x20;  // Linux 6.17.
constexpr uint8_t kGsoTunnel6 = 0x40;  // Linux 6.17.
constexpr uint8_t kGsoEcn = 0x80;
constexpr uint32_t kEthernetBytes = 14;
constexpr uint32_t kUdpBytes = 8;
constexpr uint32_t kTcpBytesMin = 20;

pkt::Gso GsoFrom(uint8_t type) {
  switch (type & ~(kGsoEcn | kGsoTunnel4 | kGsoTunnel6)) {
    case kGsoTcp4:
      return pkt::Gso::kTcp4;
    case kGsoTcp6:
      return pkt::Gso::kTcp6;
    case kGsoUdp:
      return pkt::Gso::kUdp;
    default:
      return pkt::Gso::kNone;
  }
}

uint8_t TypeFrom(pkt::Gso gso) {
  switch (gso) {
    case pkt::Gso::kTcp4:
      return kGsoTcp4;
    case pkt::Gso::kTcp6:
      return kGsoTcp6;
    case pkt::Gso::kUdp:
      return kGsoUdp;
    case pkt::Gso::kNone:
      return 0;
  }
  return 0;
}

}  // namespace

bool ReadVnetHeader(const uint8_t* header, uint32_t header_bytes, pkt::Packet* packet) {
  const uint8_t flags = header[0];
  const uint8_t type = header[1];
  (void)header_bytes;
  if (flags & kNeedsChecksum) {
    packet->checksum = pkt::Checksum::kPartial;
    packet->csum_start = base::Load<uint16_t>(header + 6);
    packet->csum_offset = base::Load<uint16_t>(header + 8);
    if (uint32_t{packet->csum_start} + packet->csum_offset + 2 > packet->len) return false;
  } else if (flags & kDataValid) {
    packet->checksum = pkt::Checksum::kVerified;
  }
  if (type == 0) return true;
  packet->gso = GsoFrom(type);
  packet->gso_ecn = (type & kGsoEcn) != 0;
  packet->gso_size = base::Load<uint16_t>(header + 4);
  // A super-packet always carries a partial checksum; anything else is a device we do not
  // understand.
  return packet->gso != pkt::Gso::kNone && packet->gso_size != 0 && (flags & kNeedsChecksum) != 0;
}

void WriteVnetHeader(const pkt::Packet& packet, uint8_t* header, uint32_t header_bytes) {
  std::memset(header, 0, header_bytes);
  if (packet.checksum == pkt::Checksum::kPartial) {
    header[0] = kNeedsChecksum;
    base::Store<uint16_t>(header + 6, packet.csum_start);
    base::Store<uint16_t>(header + 8, packet.csum_offset);
  } else if (packet.checksum == pkt::Checksum::kVerified && packet.inner_offset == 0) {
    header[0] = kDataValid;
  }
  if (packet.gso == pkt::Gso::kNone) return;

  uint8_t type = TypeFrom(packet.gso);
  if (packet.gso_ecn) type |= kGsoEcn;
  const uint32_t l4_bytes = packet.gso == pkt::Gso::kUdp
                                ? kUdpBytes
                                : (uint32_t{packet.data[packet.csum_start + 12]} >> 4) * 4;
  base::Store<uint16_t>(
      header + 2,
      static_cast<uint16_t>(packet.csum_start + (l4_bytes < kUdpBytes ? kTcpBytesMin : l4_bytes)));
  base::Store<uint16_t>(header + 4, packet.gso_size);
  if (packet.inner_offset != 0) {
    const bool outer_v4 = (packet.data[kEthernetBytes] >> 4) == 4;
    type |= outer_v4 ? kGsoTunnel4 : kGsoTunnel6;
    const uint8_t* udp_checksum = packet.data + packet.outer_l4_offset + 6;
    if (base::Load<uint16_t>(udp_checksum) != 0) header[0] |= kUdpTunnelChecksum;
    // The network header of the inner packet: behind its Ethernet header for VXLAN, at once for the
    // udp format.
    const uint32_t encapsulation_bytes = packet.inner_offset - packet.outer_l4_offset - kUdpBytes;
    const uint32_t inner_network =
        packet.inner_offset + (encapsulation_bytes == 0 ? 0 : kEthernetBytes);
    base::Store<uint16_t>(header + 20, packet.outer_l4_offset);
    base::Store<uint16_t>(header + 22, static_cast<uint16_t>(inner_network));
  }
  header[1] = type;
}

}  // namespace port
