// A hash of a flow's identity, for the outer UDP source port (RFC 7348 section 5: 49152-65535) and
// for tables of flows. Not keyed: whoever picks the inner ports picks the outer one, as with every
// VXLAN implementation. Pure.
#pragma once

#include <cstdint>

#include "base/endian.h"

namespace net {

inline constexpr uint16_t kEntropyPortMin = 49152;
inline constexpr uint32_t kEntropyPorts = 16384;

inline uint64_t MixHash(uint64_t a, uint64_t b) {
  const unsigned __int128 product =
      static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15) * (b ^ 0xd6e8feb86659fd93);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// `ports` is the first word of the L4 header, or 0 for fragments and for protocols without ports:
// all fragments of a packet then hash alike and stay in order.
template <typename Ip>
inline uint32_t FlowHash(const uint8_t* ip, uint8_t protocol, uint32_t ports) {
  uint64_t hash = MixHash(uint64_t{ports} << 8 | protocol, base::Load<uint64_t>(ip + Ip::kSource));
  for (uint32_t i = 8; i < 2 * Ip::kAddressBytes; i += 8)
    hash = MixHash(hash, base::Load<uint64_t>(ip + Ip::kSource + i));
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

inline uint16_t EntropyPort(uint32_t hash) {
  return static_cast<uint16_t>(kEntropyPortMin + hash % kEntropyPorts);
}

}  // namespace net
