// How the XDP port opens: the modes it tries and what it says of those it does not get, what it
// asks of its sockets, what it leaves behind. Drivers that answer otherwise than a veth are played
// by bind() and setsockopt() of this file, which every call of this program goes through.
#include <dirent.h>
#include <linux/if_xdp.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <vector>

#include "xdp_bench.h"

namespace {

using port::XdpMode;
using port::XdpOptions;
using port::XdpPort;

// One driver at a time.
struct Driver {
  bool has_zero_copy = false;  // A copy underneath: how frames travel is the kernel's business.
  int zero_copy_errno = 0;     // 0: as the kernel answers.
  int busy_poll_errno = 0;
  std::vector<uint16_t> binds;  // Flags of each.
};
Driver* played = nullptr;

constexpr int kPreferBusyPoll = 69;  // SO_PREFER_BUSY_POLL, Linux 5.11.
constexpr int kBusyPoll = 46;
constexpr int kMaxTxSkbBudget = 9;  // XDP_MAX_TX_SKB_BUDGET, Linux 6.17.

}  // namespace

extern "C" int bind(int fd, const sockaddr* address, socklen_t bytes) noexcept {
  sockaddr_xdp changed{};
  if (played != nullptr && address->sa_family == AF_XDP) {
    std::memcpy(&changed, address, sizeof changed);
    played->binds.push_back(changed.sxdp_flags);
    if ((changed.sxdp_flags & XDP_ZEROCOPY) != 0 && played->zero_copy_errno != 0) {
      errno = played->zero_copy_errno;
      return -1;
    }
    if ((changed.sxdp_flags & XDP_ZEROCOPY) != 0 && played->has_zero_copy)
      changed.sxdp_flags = static_cast<uint16_t>((changed.sxdp_flags & ~XDP_ZEROCOPY) | XDP_COPY);
    address = reinterpret_cast<const sockaddr*>(&changed);
  }
  return static_cast<int>(syscall(SYS_bind, fd, address, bytes));
}

extern "C" int setsockopt(int fd, int level, int name, const void* value,
                          socklen_t bytes) noexcept {
  if (played != nullptr && level == SOL_SOCKET && name == kPreferBusyPoll &&
      played->busy_poll_errno != 0) {
    errno = played->busy_poll_errno;
    return -1;
  }
  return static_cast<int>(syscall(SYS_setsockopt, fd, level, name, value, bytes));
}

namespace {

int OptionOf(int fd, int level, int name) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &bytes), 0) << std::strerror(errno);
  return value;
}

class XdpOpenTest : public xdp_bench::OnVeth {
 protected:
  void TearDown() override { played = nullptr; }
  void OpenWith(XdpOptions options) {
    auto opened = XdpPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    port_ = std::move(opened).value();
    wire_ = std::make_unique<test::Wire>("rst-b");
    ASSERT_TRUE(wire_->bound());
  }
  void Enter(uint32_t queues = 1) {
    sandbox_ = std::make_unique<test::NetSandbox>(queues);
    ASSERT_TRUE(sandbox_->ready());
  }
  pkt::Packet* Take(uint32_t number) {
    pkt::Packet* packet = port_->pool().Take();
    const test::Frame frame = test::VxlanFrame(number);
    packet->len = static_cast<uint32_t>(frame.size());
    std::memcpy(packet->data, frame.data(), frame.size());
    return packet;
  }
  void ExpectCarries() {
    pkt::Batch batch;
    for (uint32_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
      ASSERT_EQ(ReceiveSome(batch), 1U) << "frame " << i;
      port_->Transmit(batch, counters_);
      port_->Flush();
      const auto got = wire_->Read();
      ASSERT_TRUE(got.has_value()) << "frame " << i;
      ASSERT_EQ(*got, test::VxlanFrame(i));
    }
    ExpectConserved();
  }
  bool Says(const std::string& words) const {
    return port_->description().find(words) != std::string::npos;
  }
};

uint32_t OpenDescriptors() {
  uint32_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

TEST_P(XdpOpenTest, NeverReplacesAForeignProgramAndNamesIt) {
  Enter();
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

TEST_P(XdpOpenTest, OpensAndClosesFiftyTimesWithoutLeavingADescriptorOrAProgram) {
  Enter();
  const uint32_t before = OpenDescriptors();
  for (int i = 0; i < 50; ++i) {
    auto opened = XdpPort::Open(Options());
    ASSERT_TRUE(opened.ok()) << "round " << i << ": " << opened.error().op << ": "
                             << opened.error().detail;
  }
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(xdp::DescribeAttachedProgram(if_nametoindex("rst-a")), "");
}

TEST_P(XdpOpenTest, ReceivesAndSendsWhileBusyPollingWithoutEverWaiting) {
  Enter();
  XdpOptions options = Options();
  options.busy_poll = true;
  ASSERT_NO_FATAL_FAILURE(OpenWith(options));
  EXPECT_TRUE(Says(", preferred busy poll")) << port_->description();
  EXPECT_EQ(OptionOf(port_->wait_fd(), SOL_SOCKET, kPreferBusyPoll), 1);
  EXPECT_GT(OptionOf(port_->wait_fd(), SOL_SOCKET, kBusyPoll), 0);
  pkt::Batch batch;
  for (uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(wire_->Send(test::VxlanFrame(i)));
    for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
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

TEST_P(XdpOpenTest, SaysWhyThereIsNoPreferredBusyPollAndCarriesWithout) {
  Driver driver;
  driver.busy_poll_errno = EPERM;
  played = &driver;
  Enter();
  XdpOptions options = Options();
  options.busy_poll = true;
  ASSERT_NO_FATAL_FAILURE(OpenWith(options));
  EXPECT_TRUE(Says("; no preferred busy poll: Operation not permitted")) << port_->description();
  ExpectCarries();
}

TEST_P(XdpOpenTest, AsksForNoBusyPollUnlessToldTo) {
  Open();
  EXPECT_FALSE(Says("busy poll")) << port_->description();
  EXPECT_EQ(OptionOf(port_->wait_fd(), SOL_SOCKET, kPreferBusyPoll), 0);
}

// Without the raised budget a kick ends after 32 frames, and Flush() kicks four times at most.
TEST_P(XdpOpenTest, OneFlushSendsAWholeRing) {
  constexpr uint32_t kFrames = 1024;
  const base::UniqueFd probe(socket(AF_XDP, SOCK_RAW, 0));
  // A socket without a ring is refused it otherwise (EACCES).
  if (setsockopt(probe.get(), SOL_XDP, kMaxTxSkbBudget, &kFrames, sizeof kFrames) != 0 &&
      errno == ENOPROTOOPT)
    GTEST_SKIP() << "the kernel has no XDP_MAX_TX_SKB_BUDGET (Linux 6.17)";
  Open();
  pkt::Batch batch;
  for (uint32_t i = 0; i < kFrames; ++i) {
    batch.Push(Take(i));
    if (batch.room() == 0) port_->Transmit(batch, counters_);
  }
  EXPECT_EQ(port_->queues()[0].tx_waiting, kFrames) << "nothing is sent before";
  port_->Flush();
  EXPECT_EQ(port_->queues()[0].tx_waiting, 0U);
  EXPECT_EQ(counters_.tx_packets.Read(), kFrames);
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpOpenTest,
                         testing::Values(XdpMode::kNativeCopy, XdpMode::kGeneric),
                         [](const auto& info) {
                           return info.param == XdpMode::kGeneric ? "Generic" : "NativeCopy";
                         });

class XdpChoiceTest : public XdpOpenTest {};
INSTANTIATE_TEST_SUITE_P(Auto, XdpChoiceTest, testing::Values(XdpMode::kAuto),
                         [](const auto&) { return "Auto"; });

TEST_P(XdpChoiceTest, TriesZeroCopyFirstFallsBackOnAVethAndSaysWhy) {
  Driver driver;
  played = &driver;
  Open();
  EXPECT_EQ(port_->mode(), XdpMode::kNativeCopy);
  const std::vector<uint16_t> tried = {XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP,
                                       XDP_COPY | XDP_USE_NEED_WAKEUP};
  EXPECT_EQ(driver.binds, tried);
  EXPECT_TRUE(Says("not native zero-copy: rst-a queue 0: the driver has no zero-copy mode"))
      << port_->description();
}

// No driver of a virtual machine has it; what follows from a bind that succeeds is the same.
TEST_P(XdpChoiceTest, TakesZeroCopyWhereTheDriverHasItOnAllQueuesOfOneUmem) {
  Driver driver;
  driver.has_zero_copy = true;
  played = &driver;
  Open(2);
  EXPECT_EQ(port_->mode(), XdpMode::kZeroCopy);
  EXPECT_TRUE(Says("AF_XDP native zero-copy, 2 queue(s)")) << port_->description();
  EXPECT_FALSE(Says("not native")) << port_->description();
  for (const port::QueueState& queue : port_->queues())
    EXPECT_STREQ(queue.mode, "native zero-copy");
  const std::vector<uint16_t> bound = {XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP, XDP_SHARED_UMEM};
  EXPECT_EQ(driver.binds, bound) << "the second queue takes mode and umem of the first";
  ExpectCarries();
}

TEST_P(XdpChoiceTest, TriesTheNextModeWhateverADriverSaysButForWhatNoModeCures) {
  for (const int refusal : {EINVAL, ENOMEM, ENXIO}) {
    Driver driver;
    driver.zero_copy_errno = refusal;
    played = &driver;
    Open();
    EXPECT_EQ(port_->mode(), XdpMode::kNativeCopy);
    EXPECT_TRUE(Says("not native zero-copy")) << port_->description();
    EXPECT_TRUE(Says(std::strerror(refusal))) << port_->description();
    wire_.reset();
    port_.reset();
    sandbox_.reset();
  }
  Enter();
  Driver driver;
  driver.zero_copy_errno = EPERM;
  played = &driver;
  auto opened = XdpPort::Open(Options());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().os_error, EPERM);
  EXPECT_EQ(driver.binds.size(), 1U);
}

TEST_P(XdpChoiceTest, TakesGenericModeWhereTheMtuForbidsNative) {
  Enter();
  ASSERT_TRUE(test::NetSandbox::Run("ip link set rst-a mtu 9000 && ip link set rst-b mtu 9000"));
  auto opened = XdpPort::Open(Options());
  ASSERT_TRUE(opened.ok()) << opened.error().detail;
  EXPECT_EQ((*opened)->mode(), XdpMode::kGeneric);
  EXPECT_NE((*opened)->description().find("not native copy"), std::string::npos)
      << (*opened)->description();
}

TEST_P(XdpChoiceTest, NamesADeviceThatDoesNotExist) {
  Enter();
  XdpOptions options = Options();
  options.device = "rst-none";
  auto opened = XdpPort::Open(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, "XDP_DEVICE_FAILED");
  EXPECT_NE(opened.error().detail.find("no such device"), std::string::npos);
}

}  // namespace
