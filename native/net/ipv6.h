// IPv6 (RFC 8200 section 3). All fields in network order. Pure. Same members as Ipv4, see there.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |Version| Traffic Class |           Flow Label                  |
//   |         Payload Length        |  Next Header  |   Hop Limit   |
//   |                     Source Address (16 bytes)                 |
//   |                  Destination Address (16 bytes)               |
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"
#include "net/ethernet.h"

namespace net {

struct Ipv6 {
  static constexpr uint8_t kFamily = 6;
  static constexpr uint16_t kType = kEtherTypeIpv6;
  static constexpr uint32_t kHeaderBytes = 40;
  static constexpr uint32_t kAddressBytes = 16;
  static constexpr uint32_t kSource = 8;
  static constexpr uint32_t kDestination = 24;
  static constexpr uint32_t kProtocol = 6;

  // Extension headers (RFC 8200 section 4) and the end of the chain.
  static constexpr uint8_t kHopByHop = 0;
  static constexpr uint8_t kRouting = 43;
  static constexpr uint8_t kFragmentHeader = 44;
  static constexpr uint8_t kDestinationOptions = 60;
  static constexpr uint32_t kExtensionsMax = 8;
  static constexpr uint8_t kNoNextHeader = 59;
  static bool IsExtension(uint8_t next) {
    return next == kHopByHop || next == kRouting || next == kFragmentHeader ||
           next == kDestinationOptions;
  }

  static uint32_t HeaderBytes(const uint8_t*) { return kHeaderBytes; }
  static uint32_t TotalBytes(const uint8_t* ip) { return kHeaderBytes + base::LoadBe16(ip + 4); }
  static uint8_t Tos(const uint8_t* ip) { return static_cast<uint8_t>(ip[0] << 4 | ip[1] >> 4); }
  static uint8_t Ttl(const uint8_t* ip) { return ip[7]; }
  static bool ChecksumRight(const uint8_t*) { return true; }  // The header has none.

  static void SetTotalBytes(uint8_t* ip, uint32_t bytes) {
    base::StoreBe16(ip + 4, static_cast<uint16_t>(bytes - kHeaderBytes));
  }
  static void SetTos(uint8_t* ip, uint8_t tos) {
    ip[0] = static_cast<uint8_t>((ip[0] & 0xf0) | tos >> 4);
    ip[1] = static_cast<uint8_t>((ip[1] & 0x0f) | tos << 4);
  }
  static void SetTtl(uint8_t* ip, uint8_t ttl) { ip[7] = ttl; }
  static void FillHeaderChecksum(uint8_t*) {}

  // A unicast address that may cross the overlay: not unspecified, loopback, v4-mapped, link-local
  // or multicast.
  static bool Carriable(const uint8_t* address) {
    if (address[0] == 0xff) return false;
    if (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) return false;
    static constexpr uint8_t kZeros[10] = {};
    return std::memcmp(address, kZeros, sizeof kZeros) !=
           0;  // ::/80 holds ::, ::1 and ::ffff:0:0/96.
  }
};

}  // namespace net
