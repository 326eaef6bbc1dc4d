// What a bridged overlay learns: places, moves, ageing, and that made-up addresses cannot grow it.
#include "fwd/fdb.h"

#include <gtest/gtest.h>

namespace fwd {
namespace {

using Learned = Fdb::Learned;
constexpr uint64_t kAging = 1000;

TEST(FdbTest, KnowsWhatItHasSeenAndWhereItMoved) {
  Fdb fdb(64, kAging, 1);
  EXPECT_EQ(fdb.Find(5, 10), Fdb::kUnknown);
  EXPECT_EQ(fdb.Learn(5, 7, 10), Learned::kNew);
  EXPECT_EQ(fdb.Learn(5, 7, 20), Learned::kKnown);
  EXPECT_EQ(fdb.Find(5, 30), 7u);
  EXPECT_EQ(fdb.Learn(5, Fdb::kHere, 40), Learned::kMoved);
  EXPECT_EQ(fdb.Find(5, 50), Fdb::kHere);
}

TEST(FdbTest, ForgetsWhatWasNotSeenForSoLong) {
  Fdb fdb(64, kAging, 1);
  fdb.Learn(5, 7, 10);
  EXPECT_EQ(fdb.Find(5, 10 + kAging - 1), 7u);
  EXPECT_EQ(fdb.Find(5, 10 + kAging), Fdb::kUnknown);
  EXPECT_EQ(fdb.Learn(5, 8, 10 + kAging), Learned::kKnown) << "an aged entry does not move";
  EXPECT_EQ(fdb.Find(5, 10 + kAging), 8u);
}

TEST(FdbTest, GivesUpWhatWasSeenLongestAgoWhenABucketIsFull) {
  Fdb fdb(4, 1'000'000, 1);  // One bucket.
  ASSERT_EQ(fdb.capacity(), 4u);
  for (uint64_t mac = 1; mac <= 4; ++mac) EXPECT_EQ(fdb.Learn(mac, 1, 100 + mac), Learned::kNew);
  fdb.Learn(1, 1, 200);
  EXPECT_EQ(fdb.Learn(9, 1, 201), Learned::kEvicted);
  EXPECT_EQ(fdb.Find(2, 202), Fdb::kUnknown);
  EXPECT_EQ(fdb.Find(1, 202), 1u);
}

TEST(FdbTest, NeverHoldsMoreThanItsSize) {
  Fdb fdb(1000, 1'000'000'000, 42);
  for (uint64_t mac = 1; mac <= 100'000; ++mac) fdb.Learn(mac * 0x9e3779b97f4a7c15 >> 16, 3, mac);
  uint32_t fresh = 0;
  fdb.ForEach(100'000, [&fresh](const Fdb::Entry&) { ++fresh; });
  EXPECT_LE(fresh, fdb.capacity());
  EXPECT_GT(fresh, fdb.capacity() * 9 / 10);
}

}  // namespace
}  // namespace fwd
