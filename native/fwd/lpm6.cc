// Builds and reads the hash tables by prefix length. Building: control thread; reading: any worker.
#include "fwd/lpm6.h"

#include <algorithm>

namespace fwd {

namespace {

// The bits of a prefix of this length, as they lie in memory.
Key128 Masked(const Key128& key, uint8_t length) {
  const auto mask = [](uint32_t bits) {
    return bits == 0 ? 0 : __builtin_bswap64(~uint64_t{0} << (64 - bits));
  };
  return {key.first & mask(std::min<uint32_t>(length, 64)),
          key.second & mask(length > 64 ? length - 64u : 0)};
}

}  // namespace

Lpm6::Lpm6(std::span<const Route> routes, uint64_t salt) {
  std::array<uint32_t, 129> counts{};
  for (const Route& route : routes) ++counts[route.length];
  for (int length = 128; length >= 0; --length) {
    if (counts[length] == 0) continue;
    levels_.push_back({static_cast<uint8_t>(length), ExactMap<Key128>(counts[length], salt)});
    for (const Route& route : routes) {
      if (route.length == length)
        levels_.back().routes.Insert(Key128::Of(route.address.data()), route.value);
    }
  }
}

uint32_t Lpm6::Find(const uint8_t* address) const {
  const Key128 key = Key128::Of(address);
  for (const Level& level : levels_) {
    const uint32_t found = level.routes.Find(Masked(key, level.length));
    if (found != ExactMap<Key128>::kAbsent) return found;
  }
  return ExactMap<Key128>::kAbsent;
}

}  // namespace fwd
