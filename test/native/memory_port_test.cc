// The memory port: order, metadata, back pressure, wake-ups, two threads.
#include "port/memory_port.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <thread>

#include "base/endian.h"

namespace {

using port::MemoryOptions;
using port::MemoryPort;

struct Pair {
  explicit Pair(const MemoryOptions& options = {}) {
    auto made = MemoryPort::OpenPair(options);
    EXPECT_TRUE(made.ok());
    a = std::move(made->first);
    b = std::move(made->second);
  }
  std::unique_ptr<MemoryPort> a, b;
  pkt::LaneCounters a_counters, b_counters;
};

pkt::Packet* Numbered(pkt::FramePool& pool, uint32_t number, uint32_t len = 100) {
  pkt::Packet* packet = pool.Take();
  if (packet == nullptr) return nullptr;
  packet->len = len;
  std::memset(packet->data, 0, len);
  base::StoreBe32(packet->data, number);
  return packet;
}

bool Readable(const port::Port& port) {
  pollfd waiting{port.wait_fd(), POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}

TEST(MemoryPort, DeliversBytesAndOffloadMetadataInOrder) {
  Pair pair;
  pkt::Batch batch;
  for (uint32_t i = 0; i < 3; ++i) batch.Push(Numbered(pair.a->pool(), i, 200 + i));
  batch.items[1]->gso = pkt::Gso::kTcp4;
  batch.items[1]->gso_size = 1000;
  batch.items[1]->segments = 7;
  batch.items[1]->checksum = pkt::Checksum::kPartial;
  batch.items[1]->csum_start = 34;
  batch.items[1]->csum_offset = 16;
  pair.a->Transmit(batch, pair.a_counters);
  EXPECT_EQ(batch.count, 0U);
  EXPECT_EQ(pair.a_counters.tx_packets.Read(), 9U);
  EXPECT_EQ(pair.a_counters.tx_frames.Read(), 3U);

  ASSERT_EQ(pair.b->Receive(batch, pair.b_counters), 3U);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(base::LoadBe32(batch.items[i]->data), i);
    EXPECT_EQ(batch.items[i]->len, 200 + i);
    EXPECT_EQ(batch.items[i]->headroom(), pkt::kHeadroomBytes);
    EXPECT_EQ(batch.items[i]->pool, &pair.b->pool());
  }
  EXPECT_EQ(batch.items[1]->gso, pkt::Gso::kTcp4);
  EXPECT_EQ(batch.items[1]->gso_size, 1000);
  EXPECT_EQ(batch.items[1]->checksum, pkt::Checksum::kPartial);
  EXPECT_EQ(batch.items[0]->gso, pkt::Gso::kNone);
  pkt::GiveAll(batch);
}

TEST(MemoryPort, DropsAndCountsSegmentsWhenTheReceiverDoesNotKeepUp) {
  MemoryOptions options;
  options.ring_packets = 64;
  Pair pair(options);
  pkt::Batch batch;
  for (uint32_t i = 0; i < 128; ++i) {
    pkt::Packet* packet = Numbered(pair.a->pool(), i);
    packet->segments = 2;
    batch.Push(packet);
    if (batch.room() == 0) pair.a->Transmit(batch, pair.a_counters);
  }
  EXPECT_EQ(pair.a_counters.tx_packets.Read(), 128U);
  EXPECT_EQ(pair.a_counters.drops[static_cast<int>(pkt::DropReason::kTxFull)].Read(), 128U);
  EXPECT_EQ(pair.a->pool().available(), 512U - 64U) << "every packet was given back";
  ASSERT_EQ(pair.b->Receive(batch, pair.b_counters), 64U);
  EXPECT_EQ(base::LoadBe32(batch.items[63]->data), 63U);
  pkt::GiveAll(batch);
}

TEST(MemoryPort, RefusesFramesLongerThanTheFarEndsFrames) {
  MemoryOptions big;
  big.frame_bytes = 4096;
  Pair wide(big);
  Pair pair;
  pkt::Batch batch;
  batch.Push(Numbered(wide.a->pool(), 1, 3000));
  pair.a->Transmit(batch, pair.a_counters);
  EXPECT_EQ(pair.a_counters.drops[static_cast<int>(pkt::DropReason::kTxError)].Read(), 1U);
}

TEST(MemoryPort, IsReadableExactlyWhileThereIsSomethingToRead) {
  Pair pair;
  pkt::Batch batch;
  EXPECT_FALSE(Readable(*pair.b));
  batch.Push(Numbered(pair.a->pool(), 1));
  pair.a->Transmit(batch, pair.a_counters);
  pair.a->Flush();
  EXPECT_TRUE(Readable(*pair.b));
  EXPECT_EQ(pair.b->Receive(batch, pair.b_counters), 1U);
  EXPECT_EQ(pair.b->Receive(batch, pair.b_counters), 0U);
  EXPECT_FALSE(Readable(*pair.b));
  pkt::GiveAll(batch);
}

TEST(MemoryPort, CountsWhatWasSentToAClosedEndAsDropped) {
  Pair pair;
  pair.b.reset();
  pkt::Batch batch;
  batch.Push(Numbered(pair.a->pool(), 1));
  pair.a->Transmit(batch, pair.a_counters);
  EXPECT_EQ(pair.a_counters.drops[static_cast<int>(pkt::DropReason::kTxFull)].Read(), 1U);
}

TEST(MemoryPort, CarriesPacketsBetweenTwoThreadsWithoutLossWhenTheSenderRetries) {
  Pair pair;
  constexpr uint32_t kPackets = 20000;
  std::thread sender([&pair] {
    pkt::Batch batch;
    uint32_t next = 0;
    while (next < kPackets) {
      batch.Push(Numbered(pair.a->pool(), next));
      const uint64_t before = pair.a_counters.tx_packets.Read();
      pair.a->Transmit(batch, pair.a_counters);
      pair.a->Flush();
      next += static_cast<uint32_t>(pair.a_counters.tx_packets.Read() - before);
      if (pair.a_counters.tx_packets.Read() == before) std::this_thread::yield();
    }
  });
  pkt::Batch batch;
  for (uint32_t expected = 0; expected < kPackets;) {
    pollfd waiting{pair.b->wait_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 30'000), 1) << "stuck at packet " << expected;
    pair.b->Receive(batch, pair.b_counters);
    for (pkt::Packet* packet : batch) ASSERT_EQ(base::LoadBe32(packet->data), expected++);
    pkt::GiveAll(batch);
  }
  sender.join();
}

TEST(MemoryPort, RefusesARingThatIsNoPowerOfTwoOrLeavesNoFrame) {
  MemoryOptions options;
  options.ring_packets = 100;
  EXPECT_EQ(MemoryPort::OpenPair(options).error().code, "MEMORY_PORT_SIZE");
  options.ring_packets = 512;
  EXPECT_EQ(MemoryPort::OpenPair(options).error().code, "MEMORY_PORT_SIZE");
}

}  // namespace
