// The flat form in which TypeScript hands over a whole peer table (src/dataplane/codec.ts writes
// it, fwd/decode reads it). Little-endian, packed by hand: no field crosses its natural alignment.
// Untrusted: the decoder checks everything.
//
//   TableHeader | local_prefix_count x PrefixRecord | peer_count x PeerRecord
#pragma once

#include <cstddef>
#include <cstdint>

namespace fwd {

inline constexpr uint32_t kTableMagic = 0x42545352;  // "RSTB".
inline constexpr uint16_t kTableLayout = 1;
inline constexpr uint32_t kPeersMax = 16384;
inline constexpr uint32_t kLocalPrefixesMax = 64;

// Addresses: network byte order; an IPv4 address takes the first 4 of 16 bytes, the rest zero. All
// zero = absent.
struct TableHeader {
  uint32_t magic;
  uint16_t layout;
  uint16_t local_prefix_count;
  uint64_t version;  // Grows with every apply; shown by inspect().
  uint32_t peer_count;
  uint16_t overlay_mtu;     // Inner IP MTU of the overlay device, bytes.
  uint16_t reserved0;       // Zero.
  uint8_t underlay_v4[16];  // This node's published and bound underlay addresses.
  uint8_t underlay_v6[16];
  uint8_t underlay_mac[6];  // Source MAC on the underlay device (zero for L3 devices).
  uint8_t vtep_mac[6];      // MAC of flannel.<VNI>.
  uint8_t reserved1[4];     // Zero.
};
static_assert(sizeof(TableHeader) == 72 && offsetof(TableHeader, vtep_mac) == 62);

// Inner addresses that are this node's: its lease, so the only inner destinations on receive and
// inner sources on send.
struct PrefixRecord {
  uint8_t family;  // 4 or 6.
  uint8_t length;
  uint8_t reserved[6];
  uint8_t address[16];
};
static_assert(sizeof(PrefixRecord) == 24);

struct PeerRecord {
  uint32_t id;            // Stable per peer over its life; names its counters.
  uint8_t flags;          // kPeerResolved.
  uint8_t prefix_family;  // 4 or 6.
  uint8_t prefix_length;
  uint8_t underlay_family;  // 4 or 6.
  uint16_t underlay_port;   // UDP port, host order; 0 = the data plane's own.
  uint16_t path_mtu;  // Largest outer IP packet to this peer, bytes; 0 = the underlay device's MTU.
  uint8_t prefix[16];
  uint8_t underlay[16];     // The peer's public IP.
  uint8_t vtep_mac[6];      // Zero for backends without one.
  uint8_t next_hop_mac[6];  // Destination MAC on the underlay; valid with kPeerResolved.
  uint8_t reserved[8];
};
static_assert(sizeof(PeerRecord) == 64);

// next_hop_mac is known. Without it only ports that let the kernel resolve (tap, udp) can send;
// others punt to the kernel path.
inline constexpr uint8_t kPeerResolved = 1;

}  // namespace fwd
