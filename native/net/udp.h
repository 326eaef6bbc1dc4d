// UDP (RFC 768), the parts of TCP (RFC 9293 section 3.1) that segmentation needs, and their pseudo
// header. Pure. All fields in network order.
//
//   UDP:  0 source port | 2 destination port | 4 length | 6 checksum
//   TCP:  0 source port | 2 destination port | 4 sequence number | 8 acknowledgment number
//         12 data offset (4 bits), reserved, 13 flags | 14 window | 16 checksum | 18 urgent pointer
//         | 20 options...
#pragma once

#include <cstdint>

#include "base/endian.h"
#include "net/checksum.h"

namespace net {

inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;

inline constexpr uint32_t kUdpBytes = 8;
inline constexpr uint32_t kUdpDestination = 2;
inline constexpr uint32_t kUdpLength = 4;
inline constexpr uint32_t kUdpChecksum = 6;

inline constexpr uint32_t kTcpBytes = 20;  // Without options.
inline constexpr uint32_t kTcpSequence = 4;
inline constexpr uint32_t kTcpAcknowledgment = 8;
inline constexpr uint32_t kTcpDataOffset = 12;
inline constexpr uint32_t kTcpFlags = 13;
inline constexpr uint32_t kTcpWindow = 14;
inline constexpr uint32_t kTcpChecksum = 16;

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpCwr = 0x80;

inline uint32_t TcpHeaderBytes(const uint8_t* tcp) { return (tcp[kTcpDataOffset] >> 4) * 4u; }

// The pseudo header (RFC 768, RFC 8200 section 8.1): both addresses, the protocol and the L4
// length.
template <typename Ip>
inline uint64_t PseudoSum(const uint8_t* ip, uint8_t protocol, uint32_t l4_bytes) {
  uint64_t sum = uint64_t{base::SwapBytes(static_cast<uint16_t>(protocol))} +
                 base::SwapBytes(static_cast<uint16_t>(l4_bytes));
  for (uint32_t i = 0; i < 2 * Ip::kAddressBytes; i += 4)
    sum += base::Load<uint32_t>(ip + Ip::kSource + i);
  return sum;
}

}  // namespace net
