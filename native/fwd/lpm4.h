// Longest-prefix match on IPv4: 65,536 first-level entries, then blocks of 256 (8 + 8 bits). One to
// three loads. Immutable after building; shared by all workers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/endian.h"

namespace fwd {

class Lpm4 {
 public:
  struct Route {
    uint32_t address;  // Host order, host bits zero.
    uint8_t length;
    uint32_t value;  // Any value below 0x80000000, or kLocal/kNoPeer.
  };
  Lpm4();
  // Longer prefixes win; of equal prefixes the last wins (callers reject duplicates before).
  explicit Lpm4(std::span<const Route> routes);
  uint32_t Find(uint32_t address_be) const {
    const uint32_t address = base::SwapBytes(address_be);
    uint32_t entry = level1_.data()[address >> 16];
    if (!IsBlock(entry)) return entry;
    const uint32_t* blocks = blocks_.data();
    entry = blocks[size_t{entry - kBlock} * 256 + (address >> 8 & 255)];
    if (!IsBlock(entry)) return entry;
    return blocks[size_t{entry - kBlock} * 256 + (address & 255)];
  }

 private:
  // Set in an entry that points to a block; the marks at the very top do not count.
  static constexpr uint32_t kBlock = 0x80000000;
  static constexpr uint32_t kBlocksMax = 0x7fff0000;
  static bool IsBlock(uint32_t entry) { return entry - kBlock < kBlocksMax; }

  std::vector<uint32_t> level1_;
  std::vector<uint32_t> blocks_;
};

}  // namespace fwd
