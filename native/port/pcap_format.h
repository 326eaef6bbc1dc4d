// pcapng (IETF draft-ietf-opsawg-pcapng), the little of it that packets of one Ethernet interface
// need. Pure.
//
//   section header block | interface description block | enhanced packet block ...
//   each: type (4) | total length (4) | body, padded to 4 | total length (4)       in the writer's
//   byte order
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace port {

inline constexpr uint32_t kPcapPrologueBytes = 28 + 32;  // Both header blocks.
inline constexpr uint32_t kPcapPacketBytes =
    28;  // Of an enhanced packet block, in front of the frame.
inline constexpr uint32_t kPcapTailBytesMax = 3 + 4;  // Padding and the second length, behind it.

// The blocks that open a file: one Ethernet interface, time stamps in nanoseconds.
void WritePcapPrologue(uint8_t* to);
// What stands in front of a frame of `bytes` bytes, and behind it; the latter returns its own
// length.
void WritePcapPacket(uint64_t time_ns, uint32_t bytes, uint8_t* to);
uint32_t WritePcapTail(uint32_t bytes, uint8_t* to);

// Walks the packets of a file in memory. Trusts no length: Check first, then every Next is safe.
class PcapReader {
 public:
  // The whole file is well formed, little-endian, and every packet is an Ethernet frame.
  static base::Status Check(std::span<const uint8_t> file);
  explicit PcapReader(std::span<const uint8_t> file) : rest_(file) {}
  // The next frame, or an empty span at the end.
  std::span<const uint8_t> Next();

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace port
