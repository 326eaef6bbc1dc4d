// ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443) error messages. All fields in network order. Pure.
//
//    0                   1                   2                   3
//   |     Type      |     Code      |          Checksum             |
//   |  unused, or next-hop MTU (ICMP: low 16 bits, ICMPv6: 32 bits) |
//   |  the offending packet, from its IP header on ...              |
#pragma once

#include <cstdint>

namespace net {

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolIcmpv6 = 58;
inline constexpr uint32_t kIcmpBytes = 8;  // Header of an error message.
inline constexpr uint32_t kIcmpChecksum = 2;
inline constexpr uint32_t kIcmpMtu = 4;  // The whole 32-bit word; ICMP keeps its high half zero.

inline constexpr uint8_t kIcmpUnreachable = 3;
inline constexpr uint8_t kIcmpNetUnreachable = 0;       // Code of kIcmpUnreachable.
inline constexpr uint8_t kIcmpFragmentationNeeded = 4;  // Code of kIcmpUnreachable.
inline constexpr uint8_t kIcmpTimeExceeded = 11;
inline constexpr uint8_t kIcmpv6Unreachable = 1;
inline constexpr uint8_t kIcmpv6NoRoute = 0;  // Code of kIcmpv6Unreachable.
inline constexpr uint8_t kIcmpv6PacketTooBig = 2;
inline constexpr uint8_t kIcmpv6TimeExceeded = 3;

// Errors must never be answered with errors (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
inline bool IsIcmpError(uint8_t type) {
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}
inline bool IsIcmpv6Error(uint8_t type) { return type < 128 || type == 137; }  // 137: redirect.

}  // namespace net
