// A lane between two ports in memory: what it makes of a burst depends on what the underlay port
// takes.
#include "engine/lane.h"

#include <gtest/gtest.h>

#include "node.h"
#include "port/memory_port.h"

namespace {

using frames::Bytes;
using namespace testing_node;

struct Bench {
  std::unique_ptr<const fwd::Snapshot> table;
  std::unique_ptr<port::MemoryPort> pods, overlay, wire, underlay;
  std::unique_ptr<pkt::FramePool> segments, big;
  capture::Tap tap;
  std::unique_ptr<engine::EncapLane> encap;
  pkt::LaneCounters outside;

  explicit Bench(bool tunnel_super_packets) {
    TableBuilder builder(1);
    builder.AddPeer(2, 4, 4);
    fwd::Format format;
    format.vni = 1;
    format.port = 8472;
    table = builder.Build(format);
    port::MemoryOptions takes_all;
    takes_all.capabilities = {.super_packets = true,
                              .udp_super_packets = true,
                              .tunnel_super_packets = tunnel_super_packets,
                              .partial_checksum = true,
                              .tunnel_partial_checksum = true};
    takes_all.frame_bytes = 34 * 2048;
    auto up = port::MemoryPort::OpenPair(takes_all);
    auto down = port::MemoryPort::OpenPair(takes_all);
    pods = std::move(up->first), overlay = std::move(up->second);
    underlay = std::move(down->first), wire = std::move(down->second);
    segments = std::move(pkt::FramePool::Create(64, 4096)).value();
    big = std::move(pkt::FramePool::Create(64, 34 * 2048)).value();
    encap = std::make_unique<engine::EncapLane>(*overlay, *underlay, *segments, *big, tap);
  }

  // `per_flow` datagrams of each of `flows` pods' programs, one flow after the other, as a pod's
  // device hands them over: with checksums still to be filled.
  void Send(int flows, int per_flow, size_t payload) {
    pkt::Batch batch;
    for (int flow = 0; flow < flows; ++flow) {
      for (int i = 0; i < per_flow; ++i) {
        const frames::Ip ip{.from = Pod(1, 4), .to = Pod(2, 4), .fragment = 0x4000};
        const Bytes frame = frames::Ethernet(
            VtepMac(2), VtepMac(1), 0x0800,
            frames::IpPacket(ip, frames::Udp(ip.from, ip.to, static_cast<uint16_t>(1000 + flow), 53,
                                             frames::Pattern(payload, static_cast<uint32_t>(i)))));
        pkt::Packet* packet = pods->pool().Take();
        std::memcpy(packet->data, frame.data(), frame.size());
        packet->len = static_cast<uint32_t>(frame.size());
        packet->checksum = pkt::Checksum::kPartial;
        packet->csum_start = 34;
        packet->csum_offset = 6;
        batch.Push(packet);
      }
    }
    pods->Transmit(batch, outside);
    pods->Flush();
    encap->Run(table.get(), 1'000'000'000);
    underlay->Flush();
  }

  // Segments of each frame on the wire, in order; every inner datagram is as long as it was sent.
  std::vector<int> OnTheWire(size_t payload) {
    pkt::Batch batch;
    wire->Receive(batch, outside);
    std::vector<int> counts;
    for (const pkt::Packet* packet : batch) {
      const size_t bytes = packet->len - 50 - 42;
      EXPECT_EQ(bytes % payload, 0U);
      EXPECT_EQ(packet->super_packet() ? packet->gso_size : bytes, payload);
      counts.push_back(static_cast<int>(bytes / payload));
    }
    pkt::GiveAll(batch);
    return counts;
  }
};

TEST(EncapLane, SendsABurstOfSmallPacketsAsOneEncapsulatedSuperPacketForEachFlow) {
  Bench bench(true);
  bench.Send(3, 4, 64);
  EXPECT_EQ(bench.OnTheWire(64), (std::vector<int>{4, 4, 4}));
  // Accounting counts what pods sent, not how it travelled.
  EXPECT_EQ(bench.encap->counters().rx_packets.Read(), 12U);
  EXPECT_EQ(bench.encap->counters().tx_packets.Read(), 12U);
  EXPECT_EQ(bench.encap->counters().tx_frames.Read(), 3U);
}

TEST(EncapLane, SendsSinglePacketsToAPortThatTakesNoEncapsulatedSuperPackets) {
  Bench bench(false);
  bench.Send(2, 3, 64);
  EXPECT_EQ(bench.OnTheWire(64), (std::vector<int>{1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(bench.encap->counters().rx_packets.Read(), 6U);
  EXPECT_EQ(bench.encap->counters().tx_packets.Read(), 6U);
}

TEST(EncapLane, LosesNoFrameOverManyBursts) {
  Bench bench(true);
  for (int round = 0; round < 300; ++round) {
    bench.Send(1 + round % 5, 1 + round % 7, 64 + static_cast<size_t>(round % 3));
    bench.OnTheWire(64 + static_cast<size_t>(round % 3));
  }
  bench.underlay->Flush();
  bench.pods->Flush();
  EXPECT_EQ(bench.big->available(), bench.big->frames());
  EXPECT_EQ(bench.segments->available(), bench.segments->frames());
}

}  // namespace
