// A port in a program's hands: what descriptors may do, what is counted, and that a batch allocates
// nothing.
#include "library/exchange.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "library/open_port.h"

namespace {

thread_local uint64_t allocations = 0;

}  // namespace

// Counts what this thread allocates; everything else in the binary only pays an increment.
void* operator new(size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
// The library's own nothrow form would pair its memory with our delete.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace library {
namespace {

class ExchangeTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = OpenMemoryPair("test", 2048, 128);
    ASSERT_TRUE(pair.ok()) << pair.error().detail;
    a_ = std::make_unique<Exchange>(std::move(pair->first), false);
    b_ = std::make_unique<Exchange>(std::move(pair->second), false);
  }
  void TearDown() override {
    for (const Exchange* one : {a_.get(), b_.get()}) {
      const ExchangeCounters& seen = one->counters();
      uint64_t ends =
          seen.lane.tx_packets.Read() + seen.released.Read() + seen.passed.Read() + one->count();
      for (const pkt::Counter& drop : seen.lane.drops) ends += drop.Read();
      EXPECT_EQ(seen.lane.rx_packets.Read() + seen.allocated.Read() + seen.taken.Read(), ends);
    }
  }
  void Fill(uint32_t count) {
    ASSERT_EQ(a_->Allocate(count), count);
    for (uint32_t i = 0; i < count; ++i) a_->descriptors()[i].length = 64;
  }
  uint64_t Refused(const Exchange& exchange) {
    return exchange.counters()
        .lane.drops[static_cast<uint32_t>(pkt::DropReason::kBadDescriptor)]
        .Read();
  }

  std::unique_ptr<Exchange> a_;
  std::unique_ptr<Exchange> b_;
};

TEST_F(ExchangeTest, SendsOnlyWhatLiesInItsOwnFrameAndItsOwnBatch) {
  Fill(5);
  Descriptor* said = a_->descriptors();
  said[0].offset = said[1].offset;
  said[1].offset += 4096;
  said[2].length = 2048;
  said[3].epoch += 1;
  EXPECT_EQ(a_->Send(*a_), 1u);
  EXPECT_EQ(Refused(*a_), 4u);
}

TEST_F(ExchangeTest, KeepsRoomForTheHeaderThatAPortWritesInFront) {
  Fill(2);
  a_->descriptors()[0].offset -= 96;
  a_->descriptors()[1].offset -= 97;
  EXPECT_EQ(a_->Send(*a_), 1u);
  EXPECT_EQ(Refused(*a_), 1u);
}

TEST_F(ExchangeTest, GivesNoMoreThanABatchHolds) {
  EXPECT_EQ(a_->Allocate(100), Exchange::kSlots);
  EXPECT_EQ(a_->Allocate(1), 0u);
  a_->Release();
  EXPECT_EQ(a_->frames_free(), a_->frames_total() - 128);
}

TEST_F(ExchangeTest, ReceivesNoMoreThanIsAskedFor) {
  Fill(20);
  a_->Send(*a_);
  EXPECT_EQ(b_->Receive(7), 7u);
  EXPECT_EQ(b_->Receive(0), 0u);
  EXPECT_EQ(b_->Receive(100), 13u);
}

TEST_F(ExchangeTest, AllocatesNothingForABatch) {
  Fill(64);
  for (int warm = 0; warm < 2; ++warm) {
    a_->Send(*a_);
    b_->Receive(64);
    b_->Send(*b_);
    a_->Receive(64);
  }
  const uint64_t before = allocations;
  for (int round = 0; round < 1000; ++round) {
    a_->Send(*a_);
    ASSERT_EQ(b_->Receive(64), 64u);
    b_->Send(*b_);
    ASSERT_EQ(a_->Receive(64), 64u);
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace library
