// The payload of one load packet: numbered, dated, filled with a pattern and sealed, so that the
// sink knows of every packet whether it is whole, late, doubled or out of order. Pure. All fields
// in host order: both ends are one machine.
//
//   0        4       8            16           24                    size-8       size
//   | magic  | flow  | sequence   | sent_ns    | pattern ...         | seal       |
#pragma once

#include <cstdint>
#include <cstring>

namespace tools {

inline constexpr uint32_t kLoadMagic = 0x7a57ee01;
inline constexpr uint32_t kLoadBytesMin = 32;
inline constexpr uint32_t kLoadBytesMax = 65507;

struct LoadHeader {
  uint32_t magic;
  uint32_t flow;
  uint64_t sequence;
  uint64_t sent_ns;
};
static_assert(sizeof(LoadHeader) == 24);

// splitmix64's mixing step: every input bit changes about half of the output bits.
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Depends on every byte and its place.
inline uint64_t Seal(const uint8_t* data, uint32_t size) {
  uint64_t hash = size;
  uint64_t word = 0;
  for (uint32_t at = 0; at < size; at += 8) {
    const uint32_t left = size - at;
    word = 0;
    memcpy(&word, data + at, left < 8 ? left : 8);
    hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
    hash ^= hash >> 32;
  }
  return Mix(hash);
}

// Fills `out` once; the bytes between header and seal stay the same for a whole run.
inline void FillPattern(uint8_t* out, uint32_t size) {
  for (uint32_t at = sizeof(LoadHeader); at + 8 < size; at++) {
    out[at] = static_cast<uint8_t>(Mix(at) & 0xff);
  }
}

inline void SealPacket(uint8_t* out, uint32_t size, const LoadHeader& header) {
  memcpy(out, &header, sizeof header);
  const uint64_t seal = Seal(out, size - 8);
  memcpy(out + size - 8, &seal, 8);
}

enum class LoadCheck { kGood, kForeign, kCorrupt };

inline LoadCheck CheckPacket(const uint8_t* data, uint32_t size, LoadHeader* header) {
  if (size < kLoadBytesMin) return LoadCheck::kForeign;
  memcpy(header, data, sizeof *header);
  uint64_t seal;
  memcpy(&seal, data + size - 8, 8);
  if (Seal(data, size - 8) == seal) {
    return header->magic == kLoadMagic ? LoadCheck::kGood : LoadCheck::kForeign;
  }
  return LoadCheck::kCorrupt;
}

}  // namespace tools
