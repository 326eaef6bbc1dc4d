// Longest-prefix match on IPv4: 65,536 first-level entries, then blocks of 256 (8 + 8 bits). One to
// three loads. Immutable after building; shared by all workers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

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
  uint32_t Find(uint32_t address_be) const;

 private:
  std::vector<uint32_t> level1_;
  std::vector<uint32_t> blocks_;
};

}  // namespace fwd
