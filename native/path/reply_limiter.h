// Token buckets for ICMP answers: at most 1000 a second (burst 50) in all and 10 a second to one
// address. Owner: a lane. Time is an argument.
#pragma once

#include <array>
#include <cstdint>

namespace path {

class ReplyLimiter {
 public:
  // `lanes`: among how many the limits are divided, because a node's lanes share nothing.
  explicit ReplyLimiter(uint32_t lanes = 1) : lanes_(lanes) {}
  // True when an answer to the inner source (any 32-bit hash of it, the address itself too) may be
  // sent now.
  bool Allow(uint64_t now_ns, uint32_t source_hash);

 private:
  struct Bucket {
    uint64_t refilled_ns = 0;
    uint32_t tokens = 0;
    void Refill(uint64_t now_ns, uint64_t interval_ns, uint32_t burst);
  };
  static constexpr uint32_t kBucketBits = 8;

  uint64_t lanes_;
  Bucket global_;
  std::array<Bucket, 1 << kBucketBits> per_source_{};
};

}  // namespace path
