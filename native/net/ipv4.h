// IPv4 (RFC 791 section 3.1). All fields in network order. Pure. Ipv4 and Ipv6 have the same
// members, so that the path writes one body for both families.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |Version|  IHL  |Type of Service|          Total Length         |
//   |         Identification        |Flags|      Fragment Offset    |
//   |  Time to Live |    Protocol   |         Header Checksum       |
//   |                         Source Address                        |
//   |                      Destination Address                      |
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ethernet.h"

namespace net {

struct Ipv4 {
  static constexpr uint8_t kFamily = 4;
  static constexpr uint16_t kType = kEtherTypeIpv4;
  static constexpr uint32_t kHeaderBytes = 20;  // Without options.
  static constexpr uint32_t kAddressBytes = 4;
  static constexpr uint32_t kSource = 12;
  static constexpr uint32_t kDestination = 16;
  static constexpr uint32_t kId = 4;
  static constexpr uint32_t kFragment = 6;
  static constexpr uint32_t kProtocol = 9;
  static constexpr uint32_t kChecksum = 10;
  static constexpr uint16_t kDontFragment = 0x4000;
  static constexpr uint16_t kMoreFragments = 0x2000;
  static constexpr uint16_t kFragmentOffsetMask = 0x1fff;  // In units of 8 bytes.

  static uint32_t HeaderBytes(const uint8_t* ip) { return (ip[0] & 0x0f) * 4u; }
  static uint32_t TotalBytes(const uint8_t* ip) { return base::LoadBe16(ip + 2); }
  static uint8_t Tos(const uint8_t* ip) { return ip[1]; }
  static uint8_t Ttl(const uint8_t* ip) { return ip[8]; }
  static bool ChecksumRight(const uint8_t* ip) {
    if (ip[0] != 0x45) return Fold(Sum(ip, HeaderBytes(ip))) == 0xffff;
    uint64_t sum = base::Load<uint32_t>(ip + 16);  // Nearly every header is 20 bytes long.
    for (uint32_t i = 0; i < 16; i += 4) sum += base::Load<uint32_t>(ip + i);
    return Fold(sum) == 0xffff;
  }

  // The setters keep a right header checksum right, and a wrong one wrong.
  static void SetTotalBytes(uint8_t* ip, uint32_t bytes) {
    SetWord(ip, 2, base::SwapBytes(static_cast<uint16_t>(bytes)));
  }
  static void SetTos(uint8_t* ip, uint8_t tos) {
    SetWord(ip, 0, static_cast<uint16_t>(ip[0] | tos << 8));
  }
  static void SetTtl(uint8_t* ip, uint8_t ttl) {
    SetWord(ip, 8, static_cast<uint16_t>(ttl | ip[9] << 8));
  }
  static void SetWord(uint8_t* ip, uint32_t offset, uint16_t word) {
    UpdateChecksum(ip + kChecksum, base::Load<uint16_t>(ip + offset), word);
    base::Store(ip + offset, word);
  }
  static void FillHeaderChecksum(uint8_t* ip) {
    base::Store<uint16_t>(ip + kChecksum, 0);
    base::Store<uint16_t>(ip + kChecksum, Finish(Sum(ip, HeaderBytes(ip))));
  }

  // A unicast address that may cross the overlay: not 0/8, loopback, link-local, multicast or
  // reserved.
  static bool Carriable(const uint8_t* address) {
    if (address[0] == 0 || address[0] == 127 || address[0] >= 224) return false;
    return !(address[0] == 169 && address[1] == 254);
  }
};

}  // namespace net
