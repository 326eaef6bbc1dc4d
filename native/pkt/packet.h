// A packet: a window into one frame, plus what is known about its checksum and segmentation.
// Owner: exactly one of pool, port ring, batch, outbox at any instant. Thread: the worker of its
// pool.
//
//   frame.base                      data                          data + len
//   |<------- headroom() ---------->|<---------- len ------------>|<--- tailroom() --->|
//
// Every packet on the forwarding path starts with an Ethernet header. Ports whose device carries
// bare IP (TUN, UDP sockets) add a made-up one on receive and strip it on transmit, so that the
// path has one shape.
#pragma once

#include <cstdint>

namespace pkt {

class FramePool;

// What one segment of a super-packet is. kNone: the packet is one packet.
enum class Gso : uint8_t { kNone, kTcp4, kTcp6, kUdp };

enum class Checksum : uint8_t {
  kUnknown,   // Whatever stands in the packet; nobody looked.
  kPartial,   // The L4 field at csum_start + csum_offset holds the pseudo-header sum only; somebody
              // must fill it.
  kVerified,  // Somebody trustworthy (kernel, hardware, us) found it right.
};

struct Packet {
  uint8_t* data = nullptr;  // First byte, an Ethernet header.
  uint32_t len = 0;         // Bytes from data.

  Gso gso = Gso::kNone;
  Checksum checksum = Checksum::kUnknown;
  bool gso_ecn = false;  // TCP with CWR on the first segment only (VIRTIO_NET_HDR_GSO_ECN).
  // Encapsulated super-packets: the outer UDP field holds the sum of the pseudo header with the
  // full length, and each segment needs a checksum of its own (VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM;
  // the kernel's SKB_GSO_UDP_TUNNEL_CSUM).
  bool outer_checksum = false;
  uint16_t gso_size = 0;     // Bytes of L4 payload in each segment but the last.
  uint16_t segments = 1;     // Wire packets this packet stands for; accounting counts these.
  uint16_t csum_start = 0;   // Bytes from data to where summing starts, when kPartial.
  uint16_t csum_offset = 0;  // Bytes from csum_start to the 16-bit field, when kPartial.

  // Set by encap: bytes from data to the inner frame's first byte (Ethernet for VXLAN, IP for udp);
  // 0 when the packet is not encapsulated. csum_start then points into the inner packet, and gso
  // describes the inner one.
  uint16_t inner_offset = 0;
  uint16_t outer_l4_offset = 0;  // Bytes from data to the outer UDP header, when inner_offset != 0.

  uint32_t peer = 0;  // Index into the snapshot in force during this batch; meaningless after it.

  // Fixed for the life of the pool.
  uint8_t* base = nullptr;  // First byte of the frame.
  uint32_t capacity = 0;    // Bytes in the frame.
  uint32_t index = 0;  // Frame number within its pool (XDP ports turn this into a UMEM address).
  FramePool* pool = nullptr;

  uint32_t headroom() const { return static_cast<uint32_t>(data - base); }
  uint32_t tailroom() const { return capacity - headroom() - len; }
  bool super_packet() const { return gso != Gso::kNone; }
};

inline constexpr uint32_t kBatchMax = 64;  // Packets in a batch.
// Free bytes before data on receive: vnet header 24 + outer 70, rounded.
inline constexpr uint32_t kHeadroomBytes = 128;
// Largest frame a TAP hands over, with outer headers.
inline constexpr uint32_t kSuperPacketMax = 65536 + 128;

}  // namespace pkt
