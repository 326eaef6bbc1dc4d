// The account that udp_load's sink keeps: what it must call unique, doubled, late, corrupt.
#include <gtest/gtest.h>

#include <vector>

#include "tools/histogram.h"
#include "tools/load_packet.h"
#include "tools/sequence_window.h"

namespace tools {
namespace {

TEST(SequenceWindow, CountsDuplicatesAndReorderingWithoutMixingThem) {
  SequenceWindow window;
  SequenceCounts counts;
  for (const uint64_t n : {0, 1, 2, 5, 3, 5, 4, 4, 6}) window.Take(n, counts);
  EXPECT_EQ(counts.unique, 7U);
  EXPECT_EQ(counts.duplicates, 2U);
  EXPECT_EQ(counts.reordered, 2U);
  EXPECT_EQ(counts.reorder_distance_max, 2U);
}

TEST(SequenceWindow, ForgetsWhatLiesBeyondItsReach) {
  SequenceWindow window;
  SequenceCounts counts;
  window.Take(0, counts);
  window.Take(100'000, counts);
  window.Take(0, counts);
  EXPECT_EQ(counts.unique, 2U);
  EXPECT_EQ(counts.too_old, 1U);
  // The same slot of the bitmap, another number: must not look doubled.
  window.Take(100'000 + 8192, counts);
  EXPECT_EQ(counts.duplicates, 0U);
  EXPECT_EQ(counts.unique, 3U);
}

TEST(LoadPacket, AnyChangedByteIsNoticed) {
  std::vector<uint8_t> packet(64);
  FillPattern(packet.data(), 64);
  SealPacket(packet.data(), 64, {kLoadMagic, 3, 42, 99});
  LoadHeader header;
  ASSERT_EQ(CheckPacket(packet.data(), 64, &header), LoadCheck::kGood);
  EXPECT_EQ(header.flow, 3U);
  EXPECT_EQ(header.sequence, 42U);
  for (size_t at = 0; at < packet.size(); at++) {
    packet[at] ^= 1;
    EXPECT_NE(CheckPacket(packet.data(), 64, &header), LoadCheck::kGood) << "byte " << at;
    packet[at] ^= 1;
  }
  EXPECT_EQ(CheckPacket(packet.data(), 31, &header), LoadCheck::kForeign);
}

TEST(Histogram, QuantilesAreWithinABucketOfTheTruth) {
  Histogram histogram;
  for (uint64_t ns = 1; ns <= 100'000; ns++) histogram.Add(ns);
  for (const double share : {0.5, 0.99, 0.999}) {
    const double truth = share * 100'000;
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(share)), truth, truth * 0.04) << share;
  }
  EXPECT_EQ(histogram.max(), 100'000U);
}

}  // namespace
}  // namespace tools
