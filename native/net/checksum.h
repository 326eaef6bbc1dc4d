// The internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). Pure.
// Sums are taken over 16-bit words as they lie in memory; one's complement addition does not mind
// the byte order as long as the result is stored the same way. A network-order field is added as
// loaded, a number through SwapBytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace net {

// Adds `bytes` bytes to `start`; the result still has to be folded. An odd last byte is padded with
// zero, so only the last piece of a sum made of pieces may have an odd length. Up to 4 GiB.
uint64_t Sum(const void* from, size_t bytes, uint64_t start = 0);

// Folds to 16 bits; zero only when everything summed was zero.
inline uint16_t Fold(uint64_t sum) {
  // Both halves added twice over: what the lower addition carries lands in the upper one, which is
  // the end-around carry.
  const auto half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The value to store in a checksum field, given the sum of everything else.
inline uint16_t Finish(uint64_t sum) { return static_cast<uint16_t>(~Fold(sum)); }

// The same for UDP, where zero means "no checksum" and 0xffff stands for it.
inline uint16_t FinishUdp(uint64_t sum) {
  const uint16_t check = Finish(sum);
  return check == 0 ? 0xffff : check;
}

// Corrects the stored checksum at `check` for one 16-bit word that changed (both as loaded from
// memory).
inline void UpdateChecksum(uint8_t* check, uint16_t before, uint16_t after) {
  const uint64_t sum = uint64_t{static_cast<uint16_t>(~base::Load<uint16_t>(check))} +
                       static_cast<uint16_t>(~before) + after;
  base::Store<uint16_t>(check, Finish(sum));
}

}  // namespace net
