// Unaligned loads and stores with the byte order in the name. Pure.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace base {

static_assert(std::endian::native == std::endian::little,
              "Ripstop runs on little-endian hosts (x86-64, arm64)");

template <typename T>
inline T Load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
inline void Store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

inline uint16_t SwapBytes(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t SwapBytes(uint32_t v) { return __builtin_bswap32(v); }

// Network order in memory, host order in the register.
inline uint16_t LoadBe16(const void* from) { return SwapBytes(Load<uint16_t>(from)); }
inline uint32_t LoadBe32(const void* from) { return SwapBytes(Load<uint32_t>(from)); }
inline void StoreBe16(void* to, uint16_t v) { Store<uint16_t>(to, SwapBytes(v)); }
inline void StoreBe32(void* to, uint32_t v) { Store<uint32_t>(to, SwapBytes(v)); }

}  // namespace base
