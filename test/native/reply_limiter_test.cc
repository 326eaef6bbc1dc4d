// How many ICMP answers leave at most, whatever comes in: in all, to one address, after a rest, and
// of several workers.
#include "path/reply_limiter.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/endian.h"

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1000 * kSecond;

TEST(ReplyLimiter, AThousandASecondAndABurstOfFiftyInAll) {
  path::ReplyLimiter limiter;
  uint32_t allowed = 0;
  for (uint32_t i = 0; i < 50'000; ++i)  // Each from another address, ten seconds long.
    allowed += limiter.Allow(kStart + i * (10 * kSecond / 50'000), i * 2654435761u);
  EXPECT_LE(allowed, 10'050u);
  EXPECT_GE(allowed, 9'900u);
}

TEST(ReplyLimiter, NeverMoreThanTenInASecondToOneAddress) {
  path::ReplyLimiter limiter;
  std::vector<uint64_t> at;
  for (uint64_t now = kStart; now < kStart + 10 * kSecond; now += 1'000'000) {
    if (limiter.Allow(now, 7)) at.push_back(now);
  }
  for (size_t i = 10; i < at.size(); ++i) EXPECT_GT(at[i] - at[i - 10], kSecond);
  EXPECT_GE(at.size(), 50u);
}

TEST(ReplyLimiter, ARestEarnsNoMoreThanTheBurst) {
  path::ReplyLimiter limiter;
  for (int i = 0; i < 100; ++i) (void)limiter.Allow(kStart, 7);
  uint32_t allowed = 0;
  for (int i = 0; i < 100; ++i) allowed += limiter.Allow(kStart + 3600 * kSecond, 7);
  EXPECT_EQ(allowed, 5u);
}

// As encap names them: the address as it lies in the packet.
uint32_t PodSource(int pod) {
  const uint8_t address[] = {10, 244, 1, static_cast<uint8_t>(pod)};
  return base::Load<uint32_t>(address);
}

TEST(ReplyLimiter, NoAddressGetsMoreThanTenASecondWhateverTheOthersAsk) {
  path::ReplyLimiter limiter;
  std::map<uint32_t, std::vector<uint64_t>> at;
  for (uint32_t i = 0; i < 20'000; ++i) {
    const uint64_t now = kStart + i * (5 * kSecond / 20'000);
    // Two pods in turn, and many addresses of which some share a bucket.
    for (const uint32_t source : {PodSource(5), PodSource(6), i % 1000 * 0x01000193u})
      if (limiter.Allow(now, source)) at[source].push_back(now);
  }
  for (const auto& [source, times] : at) {
    for (size_t i = 10; i < times.size(); ++i) EXPECT_GT(times[i] - times[i - 10], kSecond);
  }
  EXPECT_GE(at[PodSource(5)].size(), 25U);
  EXPECT_GE(at[PodSource(6)].size(), 25U);
}

TEST(ReplyLimiter, ThePodsOfANodeDoNotTakeEachOthersAnswers) {
  path::ReplyLimiter limiter;
  for (uint32_t round = 0; round < 5; ++round) {
    for (int pod = 0; pod < 256; ++pod)
      EXPECT_TRUE(limiter.Allow(kStart + (round * 256 + pod) * 1'000'000ULL, PodSource(pod)))
          << pod << ", " << round;
  }
}

TEST(ReplyLimiter, WorkersDivideTheLimitsAmongThemselves) {
  for (const uint32_t workers : {1U, 2U, 5U}) {
    std::vector<path::ReplyLimiter> limiters(workers, path::ReplyLimiter(workers));
    uint32_t one = 0, all = 0;
    for (uint32_t i = 0; i < 20'000; ++i) {
      const uint64_t now = kStart + i * (10 * kSecond / 20'000);
      for (path::ReplyLimiter& limiter : limiters) {
        one += limiter.Allow(now, 7);
        all += limiter.Allow(now, i * 2654435761U + 1);
      }
    }
    EXPECT_LE(one, 55U) << workers;
    EXPECT_GE(one, 45U) << workers;
    EXPECT_LE(one + all, 10'050U) << workers;
    EXPECT_GE(one + all, 7'500U) << workers;  // Addresses in turn share buckets.
  }
}

}  // namespace
