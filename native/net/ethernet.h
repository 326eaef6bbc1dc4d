// Ethernet II framing (IEEE 802.3). Offsets from the frame's first byte; multi-byte fields in
// network order. Pure.
//
//   0             6            12     14
//   +-------------+-------------+------+----------
//   | destination |   source    | type | payload...
//   +-------------+-------------+------+----------
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"

namespace net {

inline constexpr uint32_t kEthernetBytes = 14;
inline constexpr uint32_t kMacBytes = 6;
inline constexpr uint32_t kEtherSource = 6;
inline constexpr uint32_t kEtherType = 12;

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr uint16_t kEtherTypeServiceVlan = 0x88a8;

// The address as a number, for exact match. Reads 6 bytes.
inline uint64_t MacKey(const uint8_t* mac) {
  uint64_t key = 0;
  std::memcpy(&key, mac, kMacBytes);
  return key;
}

// The same of the frame's own addresses, in one load each. Reads 12 bytes.
inline uint64_t DestinationKey(const uint8_t* frame) {
  return base::Load<uint64_t>(frame) & 0xffffffffffff;
}
inline uint64_t SourceKey(const uint8_t* frame) { return base::Load<uint64_t>(frame + 4) >> 16; }

}  // namespace net
