// The XDP port on one end of a real veth, a raw socket on the other, our real redirect program
// between.
//
//   [XdpPort on rst-a] ==== veth ==== [Wire on rst-b]        all in a namespace of the test's own
#include "port/xdp_port.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <cstring>

#include "base/clock.h"
#include "net_sandbox.h"
#include "steer/steering.h"
#include "wire.h"

namespace {

using port::XdpMode;
using port::XdpOptions;
using port::XdpPort;

class XdpPortTest : public testing::TestWithParam<XdpMode> {
 protected:
  void SetUp() override {
    if (const std::string missing = test::NetSandbox::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    auto loaded = steer::Steering::Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error().op << ": " << loaded.error().detail;
    steering_ = std::move(loaded).value();
    rs_steer_state& state = steering_->state();
    state.workers = 1;
    state.stale_ns = 50'000'000;
    state.encapsulation = RS_ENCAPSULATION_VXLAN;
    state.vni = test::kVni;
    state.udp_port_be = htons(test::kVxlanPort);
    state.local_families = RS_LOCAL_IP4;
    state.local_ip4_be = htonl(test::kLocalIp4);
    Beat();
  }
  // Fresh for as long as a slow test may take; staleness has its own test.
  void Beat() { steering_->state().heartbeat[0].ns = base::MonotonicNs() + 60'000'000'000ULL; }
  void Open(uint32_t queues = 1, uint32_t frames = 4096) {
    sandbox_ = std::make_unique<test::NetSandbox>(queues);
    ASSERT_TRUE(sandbox_->ready());
    XdpOptions options = Options();
    options.frames = frames;
    auto opened = XdpPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    port_ = std::move(opened).value();
    wire_ = std::make_unique<test::Wire>("rst-b");
    ASSERT_TRUE(wire_->bound());
  }
  XdpOptions Options() {
    XdpOptions options;
    options.device = "rst-a";
    options.program_fd = steering_->xdp_program();
    options.xskmap_fd = steering_->xsks_map();
    options.mode = GetParam();
    return options;
  }
  // One round of a worker that waits for something to read, at most two seconds.
  uint32_t ReceiveSome(pkt::Batch& batch, int timeout_ms = 2000) {
    pollfd waiting{port_->wait_fd(), POLLIN, 0};
    poll(&waiting, 1, timeout_ms);
    const uint32_t n = port_->Receive(batch, counters_);
    port_->Flush();
    return n;
  }
  void ExpectConserved() {
    const xdp::Census census = port_->umem()->census();
    EXPECT_EQ(census.free + census.fill + census.tx + census.lent, census.total);
    EXPECT_EQ(census.lent, 0U);
  }

  // The wire and the port close before the namespace does.
  std::unique_ptr<steer::Steering> steering_;
  std::unique_ptr<test::NetSandbox> sandbox_;
  std::unique_ptr<XdpPort> port_;
  std::unique_ptr<test::Wire> wire_;
  pkt::LaneCounters counters_;
};

TEST_P(XdpPortTest, ReceivesTwoThousandFramesInOrderAndWhole) {
  Open();
  constexpr uint32_t kFrames = 2000;
  uint32_t sent = 0;
  uint32_t expected = 0;
  pkt::Batch batch;
  while (expected < kFrames) {
    for (uint32_t i = 0; i < 50 && sent < kFrames; ++i, ++sent)
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
  port_->Flush();
  EXPECT_EQ(port_->statistics().tx_pending, 0U);
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

// The default umem of one data plane, whatever the number of queues and workers it is shared by.
TEST(XdpFrames, AreEighteenMebibytesForUpToFourQueuesAndThirtyTwoAtMost) {
  for (const uint32_t queues : {1U, 2U, 4U}) EXPECT_EQ(port::XdpFramesFor(queues, 1), 4608U);
  EXPECT_EQ(port::XdpFramesFor(1, 2), 2304U);
  EXPECT_EQ(port::XdpFramesFor(2, 2), 2304U);
  EXPECT_EQ(port::XdpFramesFor(6, 1), 6912U);
  EXPECT_EQ(port::XdpFramesFor(64, 1), 8192U);
  EXPECT_EQ(port::XdpFramesFor(1, 16), 1024U) << "what a worker needs at the least";
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

TEST_P(XdpPortTest, ReceivesAndSendsWhileBusyPollingWithoutEverWaiting) {
  sandbox_ = std::make_unique<test::NetSandbox>();
  ASSERT_TRUE(sandbox_->ready());
  XdpOptions options = Options();
  options.busy_poll = true;
  auto opened = XdpPort::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
  port_ = std::move(opened).value();
  wire_ = std::make_unique<test::Wire>("rst-b");
  pkt::Batch batch;
  for (uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
    for (const uint64_t end = base::MonotonicNs() + 5'000'000'000;
         port_->Receive(batch, counters_) == 0 && base::MonotonicNs() < end;)
      port_->Flush();
    ASSERT_EQ(batch.count, 1U) << "frame " << i;
    port_->Transmit(batch, counters_);
    port_->Flush();
    const auto got = wire_->Read();
    ASSERT_TRUE(got.has_value());
    ASSERT_EQ(*got, test::VxlanFrame(i));
  }
  port_->Flush();
  ExpectConserved();
}

TEST_P(XdpPortTest, CountsDropsAndKeepsFramesWhenReceiveAndTransmitRunFull) {
  Open(1, 256);
  for (uint32_t i = 0; i < 600; ++i) ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
  pkt::Batch batch;
  uint32_t received = 0;
  while (ReceiveSome(batch, 100) != 0) {
    received += batch.count;
    pkt::GiveAll(batch);
  }
  EXPECT_LT(received, 600U);
  EXPECT_EQ(received + port_->statistics().rx_kernel_drops, 600U)
      << "every frame received or counted";

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

TEST_P(XdpPortTest, NeverReplacesAForeignProgramAndNamesIt) {
  sandbox_ = std::make_unique<test::NetSandbox>();
  ASSERT_TRUE(sandbox_->ready());
  const auto mode =
      GetParam() == XdpMode::kGeneric ? xdp::AttachMode::kGeneric : xdp::AttachMode::kNative;
  auto foreign =
      xdp::AttachProgram(steering_->xdp_program(), "rst-a", if_nametoindex("rst-a"), mode);
  ASSERT_TRUE(foreign.ok());
  for (const XdpMode tried : {XdpMode::kAuto, XdpMode::kNativeCopy, XdpMode::kGeneric}) {
    XdpOptions options = Options();
    options.mode = tried;
    auto opened = XdpPort::Open(options);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, "XDP_PROGRAM_FOREIGN");
    EXPECT_NE(opened.error().detail.find("id "), std::string::npos) << opened.error().detail;
    EXPECT_NE(opened.error().detail.find("rs_xdp_redirect"), std::string::npos)
        << opened.error().detail;
  }
}

uint32_t OpenDescriptors() {
  uint32_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST_P(XdpPortTest, OpensAndClosesFiftyTimesWithoutLeavingADescriptorOrAProgram) {
  sandbox_ = std::make_unique<test::NetSandbox>();
  ASSERT_TRUE(sandbox_->ready());
  const uint32_t before = OpenDescriptors();
  for (int i = 0; i < 50; ++i) {
    auto opened = XdpPort::Open(Options());
    ASSERT_TRUE(opened.ok()) << "round " << i << ": " << opened.error().op << ": "
                             << opened.error().detail;
  }
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(xdp::DescribeAttachedProgram(if_nametoindex("rst-a")), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpPortTest,
                         testing::Values(XdpMode::kNativeCopy, XdpMode::kGeneric),
                         [](const auto& info) {
                           return info.param == XdpMode::kGeneric ? "Generic" : "NativeCopy";
                         });

class XdpPortChoiceTest : public XdpPortTest {};
INSTANTIATE_TEST_SUITE_P(Auto, XdpPortChoiceTest, testing::Values(XdpMode::kAuto),
                         [](const auto&) { return "Auto"; });

TEST_P(XdpPortChoiceTest, FallsBackFromZeroCopyOnAVethAndSaysWhy) {
  Open();
  EXPECT_EQ(port_->mode(), XdpMode::kNativeCopy);
  EXPECT_NE(port_->description().find("not native zero-copy"), std::string::npos)
      << port_->description();
  EXPECT_NE(port_->description().find("the driver has no zero-copy mode"), std::string::npos)
      << port_->description();
}

TEST_P(XdpPortChoiceTest, TakesGenericModeWhereTheMtuForbidsNative) {
  sandbox_ = std::make_unique<test::NetSandbox>();
  ASSERT_TRUE(sandbox_->ready());
  ASSERT_TRUE(test::NetSandbox::Run("ip link set rst-a mtu 9000 && ip link set rst-b mtu 9000"));
  auto opened = XdpPort::Open(Options());
  ASSERT_TRUE(opened.ok()) << opened.error().detail;
  EXPECT_EQ((*opened)->mode(), XdpMode::kGeneric);
  EXPECT_NE((*opened)->description().find("not native copy"), std::string::npos)
      << (*opened)->description();
}

TEST_P(XdpPortChoiceTest, NamesADeviceThatDoesNotExist) {
  sandbox_ = std::make_unique<test::NetSandbox>();
  XdpOptions options = Options();
  options.device = "rst-none";
  auto opened = XdpPort::Open(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, "XDP_DEVICE_FAILED");
  EXPECT_NE(opened.error().detail.find("no such device"), std::string::npos);
}

}  // namespace
