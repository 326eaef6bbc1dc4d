// Token buckets for ICMP answers: at most 1000 a second (burst 50) in all and 10 a second to one
// address. Owner: a lane. Time is an argument.
#pragma once

#include <array>
#include <cstdint>

namespace path {

class ReplyLimiter {
 public:
  // True when an answer to the inner source (any 32-bit hash of it) may be sent now.
  bool Allow(uint64_t now_ns, uint32_t source_hash);

 private:
  struct Bucket {
    uint64_t refilled_ns = 0;
    uint32_t tokens = 0;
    uint32_t source_hash = 0;
    void Refill(uint64_t now_ns, uint64_t interval_ns, uint32_t burst);
  };
  static constexpr uint32_t kBuckets = 256;
  Bucket global_;
  std::array<Bucket, kBuckets> per_source_{};
};

}  // namespace path
