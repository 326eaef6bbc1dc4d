// virtio_net_hdr <-> packet metadata, for every port whose device speaks it (TAP, TUN, AF_PACKET).
// Pure; runs on the worker. The kernel's header lengths are never trusted: hdr_len is recomputed on
// the way out.
//
// Layout (include/uapi/linux/virtio_net.h; all fields little-endian with VIRTIO 1, host order
// otherwise):
//   0 flags  1 gso_type  2 hdr_len  4 gso_size  6 csum_start  8 csum_offset          10 bytes:
//   legacy 10 num_buffers                                                                   12
//   bytes: v1 12 hash_value  16 hash_report  18 pad  20 outer_th_offset  22 inner_nh_offset    24
//   bytes: tunnel (6.17)
#pragma once

#include <cstdint>

#include "pkt/packet.h"

namespace port {

inline constexpr uint32_t kVnetBytes = 10;
inline constexpr uint32_t kVnetV1Bytes = 12;
inline constexpr uint32_t kVnetTunnelBytes = 24;

// Reads the header in front of packet->data (packet->len already without it) into the packet's
// metadata. False when the header contradicts the frame: the packet must be dropped as
// kRxTruncated.
bool ReadVnetHeader(const uint8_t* header, uint32_t header_bytes, pkt::Packet* packet);

// Writes the header that describes the packet. A tunnel super-packet needs header_bytes ==
// kVnetTunnelBytes.
void WriteVnetHeader(const pkt::Packet& packet, uint8_t* header, uint32_t header_bytes);

}  // namespace port
