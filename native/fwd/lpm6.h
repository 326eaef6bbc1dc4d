// Longest-prefix match on IPv6: one hash probe per distinct prefix length, longest first. Flannel
// uses one or two lengths. Immutable after building; shared by all workers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "fwd/exact_map.h"

namespace fwd {

class Lpm6 {
 public:
  struct Route {
    std::array<uint8_t, 16> address;  // Network order, host bits zero.
    uint8_t length;
    uint32_t value;
  };
  Lpm6() = default;
  // Of equal prefixes the first wins (callers reject duplicates before). `salt` keys the hash.
  Lpm6(std::span<const Route> routes, uint64_t salt);
  uint32_t Find(const uint8_t* address) const;

 private:
  struct Level {
    uint8_t length;
    ExactMap<Key128> routes;
  };
  std::vector<Level> levels_;  // Longest first.
};

}  // namespace fwd
