// How many ICMP answers leave at most, whatever comes in: in all, to one address, and after a rest.
#include "path/reply_limiter.h"

#include <gtest/gtest.h>

#include <vector>

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

// Many addresses that share one bucket take it from each other, each time full; the limit over all
// still holds.
TEST(ReplyLimiter, CollidingAddressesStayUnderTheLimitOverAll) {
  path::ReplyLimiter limiter;
  uint32_t allowed = 0;
  for (uint32_t i = 0; i < 20'000; ++i)
    allowed += limiter.Allow(kStart + i * (kSecond / 20'000), (i % 64) * 256);
  EXPECT_LE(allowed, 1050u);
}

}  // namespace
