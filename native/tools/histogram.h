// Durations in buckets about 3 % wide, from 1 ns to hours: quantiles without keeping samples. Pure.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace tools {

class Histogram {
 public:
  void Add(uint64_t ns) {
    counts_[Bucket(ns)]++;
    total_++;
    if (ns > max_) max_ = ns;
  }

  // Upper edge of the bucket that holds the given share (0 to 1) of all samples; 0 when there are
  // none.
  uint64_t Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < kBuckets; bucket++) {
      seen += counts_[bucket];
      if (seen > wanted) return UpperEdge(bucket) < max_ ? UpperEdge(bucket) : max_;
    }
    return max_;
  }

  uint64_t max() const { return max_; }

 private:
  static constexpr uint32_t kSteps = 32;  // Buckets per doubling.
  static constexpr uint32_t kBuckets = 64 * kSteps;

  static uint32_t Bucket(uint64_t ns) {
    if (ns < kSteps) return static_cast<uint32_t>(ns);
    const auto doubling =
        static_cast<uint32_t>(std::bit_width(ns)) - 6;  // ns >> doubling is in [32, 64).
    return kSteps * doubling + static_cast<uint32_t>(ns >> doubling);
  }
  static uint64_t UpperEdge(uint32_t bucket) {
    if (bucket < 2 * kSteps) return bucket;
    const uint32_t doubling = bucket / kSteps - 1;
    return ((static_cast<uint64_t>(bucket % kSteps) + kSteps + 1) << doubling) - 1;
  }

  std::array<uint64_t, kBuckets> counts_ = {};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace tools
