// VXLAN (RFC 7348 section 5). All fields in network order. Pure.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |R|R|R|R|I|R|R|R|            Reserved                           |
//   |                VXLAN Network Identifier (VNI) |   Reserved    |
#pragma once

#include <cstdint>

namespace net {

inline constexpr uint32_t kVxlanBytes = 8;
inline constexpr uint32_t kVxlanFlags = 0x08000000;  // First word: I set, all else zero.
inline constexpr uint32_t kVxlanVni = 4;             // Second word: VNI in the upper 24 bits.
inline constexpr uint32_t kVniMax = 0xffffff;

}  // namespace net
