// Builds and reads the three-level table. Building: control thread; reading: any worker.
#include "fwd/lpm4.h"

#include <algorithm>

namespace fwd {

namespace {

constexpr uint32_t kUnset = 0xffffffff;  // kNoPeer of fwd/snapshot.h.

}  // namespace

Lpm4::Lpm4() : Lpm4(std::span<const Route>()) {}

Lpm4::Lpm4(std::span<const Route> routes) : level1_(65536, kUnset) {
  std::vector<Route> sorted(routes.begin(), routes.end());
  // Shorter first: a longer prefix then paints over it, and a new block starts out with what
  // covered it.
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Route& a, const Route& b) { return a.length < b.length; });
  const auto block_of = [this](std::vector<uint32_t>& level, size_t at) {
    if (!IsBlock(level[at])) {
      const uint32_t covered_by = level[at];
      const auto block = static_cast<uint32_t>(blocks_.size() / 256);
      blocks_.resize(blocks_.size() + 256, covered_by);
      level[at] = kBlock | block;
    }
    return size_t{level[at] - kBlock} * 256;
  };
  for (const Route& route : sorted) {
    const uint32_t high = route.address >> 16, middle = route.address >> 8 & 255,
                   low = route.address & 255;
    if (route.length <= 16) {
      std::fill_n(level1_.begin() + high, 1u << (16 - route.length), route.value);
    } else if (const size_t second = block_of(level1_, high); route.length <= 24) {
      std::fill_n(blocks_.begin() + static_cast<ptrdiff_t>(second + middle),
                  1u << (24 - route.length), route.value);
    } else {
      const size_t third = block_of(blocks_, second + middle);
      std::fill_n(blocks_.begin() + static_cast<ptrdiff_t>(third + low), 1u << (32 - route.length),
                  route.value);
    }
  }
}

}  // namespace fwd
