// What the XDP port carries, in each mode that a veth has.
#include "base/endian.h"
#include "xdp_bench.h"

namespace {

using port::XdpMode;
using port::XdpOptions;
using port::XdpPort;

class XdpPortTest : public xdp_bench::OnVeth {};

// The default umem of one data plane, whatever the number of queues and workers it is shared by.
TEST(XdpFrames, AreEighteenMebibytesForUpToFourQueuesAndThirtyTwoAtMost) {
  for (const uint32_t queues : {1U, 2U, 4U}) EXPECT_EQ(port::XdpFramesFor(queues, 1), 4608U);
  EXPECT_EQ(port::XdpFramesFor(1, 2), 2304U);
  EXPECT_EQ(port::XdpFramesFor(2, 2), 2304U);
  EXPECT_EQ(port::XdpFramesFor(6, 1), 6912U);
  EXPECT_EQ(port::XdpFramesFor(64, 1), 8192U);
  EXPECT_EQ(port::XdpFramesFor(1, 16), 1024U) << "what a worker needs at the least";
}

TEST_P(XdpPortTest, ReceivesTwoThousandFramesInOrderAndWhole) {
  Open();
  constexpr uint32_t kFrames = 2000;
  uint32_t sent = 0;
  uint32_t expected = 0;
  pkt::Batch batch;
  while (expected < kFrames) {
    // Fewer than the veth's own ring holds.
    for (; sent < kFrames && sent - expected < 100; ++sent)
      ASSERT_TRUE(wire_->Send(test::VxlanFrame(sent)));
    ASSERT_NE(ReceiveSome(batch), 0U) << "nothing after frame " << expected;
    for (pkt::Packet* packet : batch) {
      const test::Frame want = test::VxlanFrame(expected++);
      ASSERT_EQ(packet->len, want.size());
      ASSERT_EQ(std::memcmp(packet->data, want.data(), want.size()), 0);
      ASSERT_GE(packet->headroom(), pkt::kHeadroomBytes);
    }
    pkt::GiveAll(batch);
  }
  EXPECT_EQ(port_->statistics().rx_kernel_drops, 0U);
  ExpectConserved();
}

TEST_P(XdpPortTest, SendsTwoThousandFramesInOrderFromItsOwnAndFromForeignPools) {
  Open();
  auto foreign = pkt::FramePool::Create(256, 2048);
  ASSERT_TRUE(foreign.ok());
  constexpr uint32_t kFrames = 2000;
  pkt::Batch batch;
  uint32_t read = 0;
  for (uint32_t i = 0; i < kFrames; ++i) {
    pkt::Packet* packet = i % 2 == 0 ? port_->pool().Take() : (*foreign)->Take();
    ASSERT_NE(packet, nullptr);
    const test::Frame frame = test::VxlanFrame(i, 4 + i % 1400);
    packet->len = static_cast<uint32_t>(frame.size());
    std::memcpy(packet->data, frame.data(), frame.size());
    batch.Push(packet);
    if (batch.room() != 0 && i + 1 != kFrames) continue;
    port_->Transmit(batch, counters_);
    port_->Flush();
    for (; read <= i; ++read) {
      const auto got = wire_->Read();
      ASSERT_TRUE(got.has_value()) << "frame " << read << " did not arrive";
      ASSERT_EQ(*got, test::VxlanFrame(read, 4 + read % 1400));
    }
  }
  EXPECT_EQ(counters_.tx_packets.Read(), kFrames);
  EXPECT_EQ((*foreign)->available(), 256U);
  ExpectAllSent();
  ExpectConserved();
}

TEST_P(XdpPortTest, LeavesToTheKernelWhatIsNotOursAndEverythingWhenTheHeartStops) {
  Open();
  test::Wire kernel_side("rst-a");
  pkt::Batch batch;
  ASSERT_TRUE(wire_->Send(test::VxlanFrame(1, 64, test::kVni + 1)));
  ASSERT_TRUE(wire_->Send(test::VxlanFrame(2, 64, test::kVni, test::kPeerIp4)));
  test::Frame fragment = test::VxlanFrame(3);
  fragment[20] = 0x20;
  ASSERT_TRUE(wire_->Send(fragment));
  for (uint32_t i = 1; i <= 3; ++i) {
    const auto got = kernel_side.Read();
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(test::NumberOf(got->data()), i);
  }
  steering_->state().heartbeat[0].ns = base::MonotonicNs() - 51'000'000;
  ASSERT_TRUE(wire_->Send(test::VxlanFrame(4)));
  ASSERT_TRUE(kernel_side.Read().has_value());
  EXPECT_EQ(port_->Receive(batch, counters_), 0U);
  Beat();
  ASSERT_TRUE(wire_->Send(test::VxlanFrame(5)));
  ASSERT_EQ(ReceiveSome(batch), 1U);
  EXPECT_EQ(test::NumberOf(batch.items[0]->data), 5U);
  pkt::GiveAll(batch);
}

TEST_P(XdpPortTest, CoversAllQueuesOfTheDeviceWithOneUmem) {
  Open(2);
  EXPECT_NE(port_->description().find("2 queue(s)"), std::string::npos) << port_->description();
  const auto queues = port_->queues();
  ASSERT_EQ(queues.size(), 2U);
  for (uint32_t id = 0; id < 2; ++id) {
    EXPECT_EQ(queues[id].id, id);
    EXPECT_NE(port_->description().find(queues[id].mode), std::string::npos) << queues[id].mode;
    EXPECT_EQ(queues[id].rx_waiting, 0U);
    EXPECT_GT(queues[id].ring_size, 0U);
    EXPECT_EQ(queues[id].tx_waiting, 0U);
  }
  pkt::Batch batch;
  for (uint32_t i = 0; i < 64; ++i) {
    pkt::Packet* packet = port_->pool().Take();
    const test::Frame frame = test::VxlanFrame(i);
    packet->len = static_cast<uint32_t>(frame.size());
    std::memcpy(packet->data, frame.data(), frame.size());
    packet->inner_offset = 50;
    packet->outer_l4_offset = 34;
    batch.Push(packet);
  }
  port_->Transmit(batch, counters_);
  port_->Flush();
  uint64_t seen = 0;
  for (uint32_t i = 0; i < 64; ++i) {
    const auto got = wire_->Read();
    ASSERT_TRUE(got.has_value());
    seen |= uint64_t{1} << test::NumberOf(got->data());
  }
  EXPECT_EQ(seen, ~uint64_t{0});
  ASSERT_TRUE(wire_->Send(test::VxlanFrame(7)));
  ASSERT_EQ(ReceiveSome(batch), 1U);
  pkt::GiveAll(batch);
  port_->Flush();
  ExpectConserved();
}

TEST_P(XdpPortTest, OfTwoWorkersEachHasItsQueuesAndBothReceive) {
  constexpr uint32_t kFlows = 64;
  sandbox_ = std::make_unique<test::NetSandbox>(2);
  ASSERT_TRUE(sandbox_->ready());
  std::vector<std::unique_ptr<XdpPort>> workers;
  for (uint32_t worker = 0; worker < 2; ++worker) {
    XdpOptions options = Options();
    options.share = {worker, 2};
    auto opened = XdpPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    workers.push_back(std::move(opened).value());
    EXPECT_NE(workers[worker]->description().find("1 queue(s)"), std::string::npos);
  }
  wire_ = std::make_unique<test::Wire>("rst-b");
  ASSERT_TRUE(wire_->bound());
  uint32_t of_worker[2] = {};
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kFlows; ++i) {
    test::Frame frame = test::VxlanFrame(i);
    base::StoreBe16(frame.data() + 34, static_cast<uint16_t>(40000 + i));  // The flow's own port.
    ASSERT_TRUE(wire_->Send(frame));
    pollfd waiting[] = {{workers[0]->wait_fd(), POLLIN, 0}, {workers[1]->wait_fd(), POLLIN, 0}};
    ASSERT_GT(poll(waiting, 2, 30'000), 0) << "flow " << i << " did not arrive";
    for (uint32_t worker = 0; worker < 2; ++worker) {
      pkt::Batch batch;
      of_worker[worker] += workers[worker]->Receive(batch, counters_);
      for (const pkt::Packet* packet : batch) seen |= uint64_t{1} << test::NumberOf(packet->data);
      pkt::GiveAll(batch);
      workers[worker]->Flush();
    }
  }
  EXPECT_EQ(of_worker[0] + of_worker[1], kFlows);
  EXPECT_EQ(seen, ~uint64_t{0});
  EXPECT_GT(of_worker[0], 0U);
  // A veth says in native mode alone which queue it has received on.
  if (GetParam() != XdpMode::kGeneric) EXPECT_GT(of_worker[1], 0U);
}

TEST_P(XdpPortTest, TwoPortsOfOneUmemPassAFrameOnWithoutCopyingIt) {
  Open();
  ASSERT_TRUE(test::NetSandbox::Run("ip link add rst-c type veth peer name rst-d") &&
              test::NetSandbox::Run("ip link set rst-c up") &&
              test::NetSandbox::Run("ip link set rst-d up"));
  auto other =
      steer::Steering::Load();  // Sockets are found by queue, so each device has its own map.
  ASSERT_TRUE(other.ok());
  XdpOptions options = Options();
  options.device = "rst-c";
  options.program_fd = (*other)->xdp_program();
  options.xskmap_fd = (*other)->xsks_map();
  options.umem = port_->umem();
  auto second = XdpPort::Open(options);
  ASSERT_TRUE(second.ok()) << second.error().op << ": " << second.error().detail;
  EXPECT_EQ((*second)->transmit_pool(), port_->transmit_pool());
  test::Wire far_end("rst-d");
  pkt::Batch batch;
  for (uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
    ASSERT_EQ(ReceiveSome(batch), 1U);
    EXPECT_TRUE((*second)->umem()->Owns(batch.items[0]));
    (*second)->Transmit(batch, counters_);
    (*second)->Flush();
    const auto got = far_end.Read();
    ASSERT_TRUE(got.has_value()) << "frame " << i;
    ASSERT_EQ(*got, test::VxlanFrame(i));
  }
  EXPECT_EQ(counters_.tx_packets.Read(), 500U);
  second.value().reset();
  ExpectConserved();
  ASSERT_TRUE(test::NetSandbox::Run("ip link del rst-c"));
}

TEST_P(XdpPortTest, CountsDropsAndKeepsFramesWhenReceiveAndTransmitRunFull) {
  Open(1, 256);
  for (uint32_t i = 0; i < 600; ++i) ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
  pkt::Batch batch;
  uint32_t received = 0;
  const auto ended = [&] { return received + port_->statistics().rx_kernel_drops; };
  for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
       ended() < 600 && base::MonotonicNs() < end;) {
    received += port_->Receive(batch, counters_);
    pkt::GiveAll(batch);
    port_->Flush();
  }
  EXPECT_LT(received, 600U);
  EXPECT_EQ(ended(), 600U) << "every frame received or counted";

  // The device goes down: nothing leaves the ring any more.
  ASSERT_TRUE(test::NetSandbox::Run("ip link set rst-a down"));
  auto foreign = pkt::FramePool::Create(512, 2048);
  ASSERT_TRUE(foreign.ok());
  for (uint32_t i = 0; i < 512; ++i) {
    pkt::Packet* packet = (*foreign)->Take();
    packet->len = 100;
    packet->segments = 3;
    batch.Push(packet);
    if (batch.room() == 0) port_->Transmit(batch, counters_);
  }
  const uint64_t full = counters_.drops[static_cast<int>(pkt::DropReason::kTxFull)].Read();
  const uint64_t no_frame = counters_.drops[static_cast<int>(pkt::DropReason::kNoFrame)].Read();
  EXPECT_NE(full + no_frame, 0U);
  EXPECT_EQ(counters_.tx_packets.Read() + full + no_frame, 512U * 3U);
  EXPECT_EQ((*foreign)->available(), 512U);
  ExpectConserved();
}

TEST_P(XdpPortTest, RefusesWhatItsCapabilitiesExclude) {
  Open();
  pkt::Batch batch;
  for (int i = 0; i < 4; ++i) {
    batch.Push(port_->pool().Take());
    batch.items[i]->len = 100;
  }
  batch.items[0]->gso = pkt::Gso::kTcp4;
  batch.items[1]->checksum = pkt::Checksum::kPartial;
  batch.items[2]->len = 13;
  batch.items[3]->len = port_->capabilities().frame_bytes_max + 1;
  port_->Transmit(batch, counters_);
  EXPECT_EQ(counters_.drops[static_cast<int>(pkt::DropReason::kTxError)].Read(), 4U);
  ExpectConserved();
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpPortTest,
                         testing::Values(XdpMode::kNativeCopy, XdpMode::kGeneric),
                         [](const auto& info) {
                           return info.param == XdpMode::kGeneric ? "Generic" : "NativeCopy";
                         });

}  // namespace
