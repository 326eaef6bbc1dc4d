// Two token buckets must both agree: one for all, one for the source. Thread: the lane's worker.
#include "path/reply_limiter.h"

#include <algorithm>

namespace path {

namespace {

constexpr uint64_t kGlobalIntervalNs = 1'000'000;  // 1000 a second.
constexpr uint32_t kGlobalBurst = 50;
// 5 at once and 5 a second: never more than 10 in any one second.
constexpr uint64_t kSourceIntervalNs = 200'000'000;
constexpr uint32_t kSourceBurst = 5;
constexpr uint32_t kMix = 2654435761;  // Odd, so that no two hashes become one.

uint32_t Divided(uint32_t burst, uint64_t lanes) {
  return std::max<uint32_t>(1, burst / static_cast<uint32_t>(lanes));
}

}  // namespace

void ReplyLimiter::Bucket::Refill(uint64_t now_ns, uint64_t interval_ns, uint32_t burst) {
  const uint64_t earned = (now_ns - refilled_ns) / interval_ns;
  if (earned >= burst - tokens) {
    tokens = burst;
    refilled_ns = now_ns;
  } else {
    tokens += static_cast<uint32_t>(earned);
    refilled_ns += earned * interval_ns;
  }
}

bool ReplyLimiter::Allow(uint64_t now_ns, uint32_t source_hash) {
  // Addresses that differ in their last byte alone, as those of a node's pods do, have a bucket
  // each; others may share one, and then what it holds.
  Bucket& source = per_source_[source_hash * kMix >> (32 - kBucketBits)];
  source.Refill(now_ns, kSourceIntervalNs * lanes_, Divided(kSourceBurst, lanes_));
  global_.Refill(now_ns, kGlobalIntervalNs * lanes_, Divided(kGlobalBurst, lanes_));
  if (source.tokens == 0 || global_.tokens == 0) return false;
  --source.tokens;
  --global_.tokens;
  return true;
}

}  // namespace path
