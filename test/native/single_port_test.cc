// Behind a port that receives super-packets and unfilled checksums stand single packets, whole,
// in the order in which they came.
#include "library/single_port.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "port/memory_port.h"

namespace library {
namespace {

using frames::Bytes;

const frames::Ip kIp{.from = frames::V4(10, 0, 0, 1), .to = frames::V4(10, 0, 0, 2), .protocol = 6};

Bytes Tcp(uint32_t sequence, const Bytes& payload) {
  const frames::Tcp tcp{.sequence = sequence, .flags = 0x10};
  return frames::Ethernet(
      {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, 0x0800,
      frames::IpPacket(kIp, frames::TcpSegment(kIp.from, kIp.to, tcp, payload)));
}

class SinglePortTest : public testing::Test {
 protected:
  void SetUp() override {
    port::MemoryOptions takes_all;
    takes_all.capabilities = {.super_packets = true, .partial_checksum = true};
    takes_all.capabilities.frame_bytes_max = 1514;
    takes_all.frame_bytes = 34 * 2048;
    auto pair = port::MemoryPort::OpenPair(takes_all);
    far_ = std::move(pair->first);
    single_ = std::move(SinglePort::Wrap(std::move(pair->second))).value();
  }
  // A frame whose checksum its device would have filled, `gso_size` bytes of payload a segment.
  void Send(const Bytes& frame, uint16_t gso_size) {
    pkt::Packet* packet = far_->pool().Take();
    std::memcpy(packet->data, frame.data(), frame.size());
    packet->len = static_cast<uint32_t>(frame.size());
    packet->checksum = pkt::Checksum::kPartial;
    packet->csum_start = 34;
    packet->csum_offset = 16;
    const auto tcp_bytes = static_cast<uint32_t>(frame.size() - 34);
    const uint32_t pseudo = frames::PseudoSum(kIp.from, kIp.to, 6, tcp_bytes);
    packet->data[50] = static_cast<uint8_t>(pseudo >> 8);
    packet->data[51] = static_cast<uint8_t>(pseudo);
    if (gso_size != 0) packet->gso = pkt::Gso::kTcp4;
    packet->gso_size = gso_size;
    pkt::Batch batch;
    batch.Push(packet);
    far_->Transmit(batch, sent_);
  }
  std::vector<Bytes> Receive() {
    std::vector<Bytes> all;
    pkt::Batch batch;
    while (single_->Receive(batch, received_) != 0) {
      for (const pkt::Packet* packet : batch) {
        EXPECT_FALSE(packet->super_packet());
        EXPECT_NE(packet->checksum, pkt::Checksum::kPartial);
        all.emplace_back(packet->data, packet->data + packet->len);
      }
      pkt::GiveAll(batch);
    }
    return all;
  }

  std::unique_ptr<port::MemoryPort> far_;
  std::unique_ptr<SinglePort> single_;
  pkt::LaneCounters sent_, received_;
};

TEST_F(SinglePortTest, FillsChecksums) {
  const Bytes whole = Tcp(1, frames::Pattern(100));
  Send(whole, 0);
  EXPECT_EQ(Receive(), std::vector<Bytes>{whole});
}

TEST_F(SinglePortTest, CutsSuperPacketsAndKeepsTheOrder) {
  const Bytes payload = frames::Pattern(60'000);
  for (int round = 0; round < 20; ++round) {
    Send(Tcp(1, frames::Pattern(10)), 0);
    Send(Tcp(1000, payload), 1000);
    Send(Tcp(2, frames::Pattern(20)), 0);
    const std::vector<Bytes> got = Receive();
    ASSERT_EQ(got.size(), 62U);
    EXPECT_EQ(got.front(), Tcp(1, frames::Pattern(10)));
    EXPECT_EQ(got.back(), Tcp(2, frames::Pattern(20)));
    for (uint32_t i = 0; i < 60; ++i) {
      const Bytes& frame = got[1 + i];
      const Bytes want = Tcp(1000 + 1000 * i, frames::Cut(payload, 1000 * i, 1000));
      EXPECT_EQ(frames::Cut(frame, 34, frame.size() - 34), frames::Cut(want, 34, want.size() - 34));
    }
  }
  EXPECT_EQ(single_->pool().available(), single_->pool().frames());
}

TEST_F(SinglePortTest, CountsWhatFindsNoFrame) {
  pkt::Batch held;
  std::vector<pkt::Packet*> all;
  while (pkt::Packet* packet = single_->pool().Take()) all.push_back(packet);
  pkt::Give(all.back());
  all.pop_back();
  Send(Tcp(1, frames::Pattern(10'000)), 1000);
  EXPECT_EQ(Receive().size(), 1U);
  EXPECT_EQ(received_.drops[static_cast<uint32_t>(pkt::DropReason::kNoFrame)].Read(), 9U);
  EXPECT_EQ(received_.rx_packets.Read(), 9U);
  for (pkt::Packet* packet : all) pkt::Give(packet);
}

TEST_F(SinglePortTest, MayEndWithABacklog) {
  Send(Tcp(1000, frames::Pattern(60'000)), 500);
  pkt::Batch batch;
  EXPECT_EQ(single_->Receive(batch, received_), pkt::kBatchMax);
  pkt::GiveAll(batch);
}

}  // namespace
}  // namespace library
