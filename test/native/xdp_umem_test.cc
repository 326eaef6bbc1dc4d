// The umem's books and the rings, against memory of the test's own: no kernel involved.
#include "xdp/umem.h"

#include <gtest/gtest.h>

#include <array>

#include "xdp/ring.h"

namespace {

std::shared_ptr<xdp::Umem> MakeUmem(uint32_t frames) {
  auto umem = xdp::Umem::Create(frames);
  EXPECT_TRUE(umem.ok());
  return std::move(umem).value();
}

void ExpectConserved(const xdp::Umem& umem) {
  const xdp::Census census = umem.census();
  EXPECT_EQ(census.free + census.fill + census.tx + census.lent, census.total);
}

TEST(Umem, FollowsAFrameThroughReceiveAndTransmit) {
  auto umem = MakeUmem(8);
  pkt::Packet* packet = umem->pool().Take();
  const uint64_t filled = umem->GiveToFill(packet);
  EXPECT_EQ(umem->census().fill, 1U);
  pkt::Packet* received = umem->TakeReceived(filled + 384, 100);
  ASSERT_EQ(received, packet);
  EXPECT_EQ(received->headroom(), 384U);
  EXPECT_EQ(received->len, 100U);
  EXPECT_EQ(umem->census().lent, 1U);
  EXPECT_EQ(umem->GiveToTx(received), filled + 384);
  EXPECT_EQ(umem->census().tx, 1U);
  EXPECT_EQ(umem->TakeSent(filled + 384), packet);
  umem->pool().Give(packet);
  ExpectConserved(*umem);
  EXPECT_EQ(umem->census().free, 8U);
}

TEST(Umem, RefusesDescriptorsThatNameNoFrameOfTheKernels) {
  auto umem = MakeUmem(4);
  pkt::Packet* packet = umem->pool().Take();
  EXPECT_EQ(umem->TakeReceived(0, 10), nullptr) << "not given to the kernel";
  const uint64_t address = umem->GiveToFill(packet);
  EXPECT_EQ(umem->TakeReceived(4 * xdp::kFrameBytes, 10), nullptr) << "past the last frame";
  EXPECT_EQ(umem->TakeReceived(~uint64_t{0}, 10), nullptr) << "wraps";
  EXPECT_EQ(umem->TakeReceived(address + 4000, 97), nullptr) << "runs into the next frame";
  EXPECT_EQ(umem->TakeReceived(address + 1, ~uint32_t{0}), nullptr) << "length wraps";
  EXPECT_EQ(umem->TakeSent(address), nullptr) << "given for receiving, not for sending";
  EXPECT_EQ(umem->TakeReceived(address + 4000, 96), packet) << "ends with the frame";
  EXPECT_EQ(umem->TakeReceived(address + 4000, 96), nullptr) << "already taken";
  ExpectConserved(*umem);
}

TEST(Umem, TakesBackWhatAClosingSocketHeldAndNothingElse) {
  auto umem = MakeUmem(8);
  const uint16_t first = umem->NewSocketId();
  const uint16_t second = umem->NewSocketId();
  umem->set_socket(first);
  umem->GiveToFill(umem->pool().Take());
  umem->GiveToTx(umem->pool().Take());
  umem->set_socket(second);
  umem->GiveToFill(umem->pool().Take());
  umem->ReclaimFrom(first);
  EXPECT_EQ(umem->census().fill, 1U);
  EXPECT_EQ(umem->census().tx, 0U);
  EXPECT_EQ(umem->census().free, 7U);
  umem->ReclaimFrom(second);
  EXPECT_EQ(umem->census().free, 8U);
}

template <typename Entry>
struct FakeRing {
  uint32_t producer = 0xfffffffe;  // Two before the indices wrap.
  uint32_t consumer = 0xfffffffe;
  uint32_t flags = 0;
  std::array<Entry, 4> entries{};
  xdp::RingMemory<Entry> memory() { return {&producer, &consumer, &flags, entries.data(), 4}; }
};

TEST(Ring, ProducerStopsWhenFullAndGoesOnAcrossTheWrapOfItsIndices) {
  FakeRing<uint64_t> kernel;
  xdp::FillRing ring(kernel.memory());
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_NE(ring.Free(1), 0U);
    ring.Push(i * 4096);
  }
  EXPECT_EQ(ring.Free(1), 0U);
  EXPECT_EQ(kernel.producer, 0xfffffffeU) << "nothing visible before Submit";
  ring.Submit();
  EXPECT_EQ(kernel.producer, 2U);
  EXPECT_EQ(ring.Unread(), 4U);
  kernel.consumer += 3;
  EXPECT_EQ(ring.Free(1), 3U);
  EXPECT_EQ(ring.Unread(), 1U);
}

TEST(Ring, ConsumerReadsWhatWasProducedInOrderAcrossTheWrap) {
  FakeRing<xdp_desc> kernel;
  xdp::RxRing ring(kernel.memory());
  EXPECT_EQ(ring.Ready(8), 0U);
  for (uint32_t i = 0; i < 3; ++i) kernel.entries[kernel.producer++ & 3].len = i;
  ASSERT_EQ(ring.Ready(2), 2U);
  EXPECT_EQ(ring.Pop().len, 0U);
  EXPECT_EQ(ring.Pop().len, 1U);
  ring.Release();
  EXPECT_EQ(kernel.consumer, 0U);
  EXPECT_EQ(ring.Ready(8), 1U);
}

TEST(Ring, SaysWhenTheKernelWantsToBeWoken) {
  FakeRing<xdp_desc> kernel;
  xdp::TxRing ring(kernel.memory());
  EXPECT_FALSE(ring.needs_wakeup());
  kernel.flags = XDP_RING_NEED_WAKEUP;
  EXPECT_TRUE(ring.needs_wakeup());
}

}  // namespace
