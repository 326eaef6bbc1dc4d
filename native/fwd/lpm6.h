// Longest-prefix match on IPv6: one hash probe per distinct prefix length, longest first. Flannel
// uses one or two lengths. Immutable after building; shared by all workers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace fwd {

class Lpm6 {
 public:
  struct Route {
    std::array<uint8_t, 16> address;  // Network order, host bits zero.
    uint8_t length;
    uint32_t value;
  };
  Lpm6();
  explicit Lpm6(std::span<const Route> routes);
  uint32_t Find(const uint8_t* address) const;

 private:
  struct Slot {
    uint64_t high = 0, low = 0;
    uint32_t value = 0;
    uint8_t length = 0;
    bool used = false;
  };
  std::vector<uint8_t> lengths_;  // Descending.
  std::vector<Slot> slots_;       // Open addressing, at most half full.
};

}  // namespace fwd
