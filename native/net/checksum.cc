// The summing loop; everything else about checksums is inline in the header. Pure.
#include "net/checksum.h"

#include <cstring>

namespace net {

namespace {

// Two additions a word and no dependency between the four chains: the compiler makes add/adc pairs
// of them.
struct Chain {
  uint64_t sum = 0;
  uint64_t carries = 0;
  void Add(uint64_t word) {
    sum += word;
    carries += sum < word;
  }
};

uint64_t FoldTo32(uint64_t value) { return (value & 0xffffffff) + (value >> 32); }

}  // namespace

uint64_t Sum(const void* from, size_t bytes, uint64_t start) {
  const auto* p = static_cast<const uint8_t*>(from);
  Chain a, b, c, d;
  for (; bytes >= 32; bytes -= 32, p += 32) {
    a.Add(base::Load<uint64_t>(p));
    b.Add(base::Load<uint64_t>(p + 8));
    c.Add(base::Load<uint64_t>(p + 16));
    d.Add(base::Load<uint64_t>(p + 24));
  }
  for (; bytes >= 8; bytes -= 8, p += 8) a.Add(base::Load<uint64_t>(p));
  if (bytes != 0) {
    uint64_t last = 0;
    std::memcpy(&last, p, bytes);
    b.Add(last);
  }
  return FoldTo32(start) + FoldTo32(a.sum) + FoldTo32(b.sum) + FoldTo32(c.sum) + FoldTo32(d.sum) +
         a.carries + b.carries + c.carries + d.carries;
}

}  // namespace net
