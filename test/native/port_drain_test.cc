// What a port cannot take is brought into shape before it gets there: each capability on and off.
#include "engine/port_drain.h"

#include "node.h"
#include "port/memory_port.h"

namespace {

using namespace frames;
using namespace testing_node;

struct Sent {
  std::vector<uint32_t> lengths;
  uint64_t super_packets = 0, partial = 0, counted = 0;
};

// One TCP and one UDP super-packet of three segments each, and a datagram with a partial checksum.
Sent Send(const port::Capabilities& can) {
  port::MemoryOptions options;
  options.frame_bytes = 8192;
  options.capabilities = can;
  auto pair = std::move(port::MemoryPort::OpenPair(options)).value();
  auto pool = std::move(pkt::FramePool::Create(32, 8192)).value();
  pkt::LaneCounters counters;
  capture::Tap tap;
  engine::PortDrain drain(*pair.first, *pool, counters, false, tap, capture::Point::kOverlay);
  const Address from = Pod(2, 4), to = Pod(1, 4);
  pkt::Batch batch;
  const auto push = [&](const Bytes& l4, uint8_t protocol, pkt::Gso gso) {
    const Bytes frame =
        Ethernet(VtepMac(1), VtepMac(2), 0x0800, IpPacket({from, to, protocol}, l4));
    pkt::Packet* packet = pool->Take();
    std::memcpy(packet->data, frame.data(), frame.size());
    packet->len = static_cast<uint32_t>(frame.size());
    packet->gso = gso;
    packet->gso_size = gso == pkt::Gso::kNone ? 0 : 1000;
    packet->segments = gso == pkt::Gso::kNone ? 1 : 3;
    packet->checksum = pkt::Checksum::kPartial;
    packet->csum_start = 34;
    packet->csum_offset = protocol == 6 ? 16 : 6;
    batch.Push(packet);
  };
  push(TcpSegment(from, to, {}, Pattern(2500)), 6, pkt::Gso::kTcp4);
  push(Udp(from, to, 1, 2, Pattern(2500)), 17, pkt::Gso::kUdp);
  push(Udp(from, to, 3, 4, Pattern(100)), 17, pkt::Gso::kNone);
  drain.Take(batch);
  Sent sent;
  sent.counted = counters.tx_packets.Read();
  pkt::LaneCounters received;
  pair.second->Receive(batch, received);
  for (const pkt::Packet* packet : batch) {
    sent.lengths.push_back(packet->len);
    sent.super_packets += packet->super_packet();
    sent.partial += packet->checksum == pkt::Checksum::kPartial;
  }
  pkt::GiveAll(batch);
  EXPECT_EQ(pool->available(), pool->frames());
  return sent;
}

constexpr uint32_t kTcp = 54, kUdp = 42;  // Header bytes.

TEST(PortDrain, APortThatTakesEverythingGetsEverythingWhole) {
  const Sent sent = Send({.super_packets = true,
                          .udp_super_packets = true,
                          .tunnel_super_packets = true,
                          .partial_checksum = true,
                          .tunnel_partial_checksum = true});
  EXPECT_EQ(sent.lengths, (std::vector<uint32_t>{kTcp + 2500, kUdp + 2500, kUdp + 100}));
  EXPECT_EQ(sent.super_packets, 2u);
  EXPECT_EQ(sent.partial, 3u);
  EXPECT_EQ(sent.counted, 7u);
}

TEST(PortDrain, ADeviceOfBeforeLinux62GetsUdpInSingleDatagramsButTcpWhole) {
  const Sent sent = Send({.super_packets = true, .partial_checksum = true});
  EXPECT_EQ(sent.lengths,
            (std::vector<uint32_t>{kTcp + 2500, kUdp + 1000, kUdp + 1000, kUdp + 500, kUdp + 100}));
  EXPECT_EQ(sent.super_packets, 1u);
  EXPECT_EQ(sent.partial, 2u);  // Datagrams that were cut are whole.
  EXPECT_EQ(sent.counted, 7u);
}

TEST(PortDrain, APortThatTakesNothingGetsWholeSinglePackets) {
  const Sent sent = Send({});
  EXPECT_EQ(sent.lengths, (std::vector<uint32_t>{kTcp + 1000, kTcp + 1000, kTcp + 500, kUdp + 1000,
                                                 kUdp + 1000, kUdp + 500, kUdp + 100}));
  EXPECT_EQ(sent.super_packets, 0u);
  EXPECT_EQ(sent.partial, 0u);
  EXPECT_EQ(sent.counted, 7u);
}

}  // namespace
