// The thread that hears too-big messages, on a real device: what a router sends from the far end of
// a veth lowers the path in the table that workers read.
#include "engine/path_mtu_listener.h"

#include <sys/ioctl.h>

#include <functional>

#include "base/clock.h"
#include "node.h"
#include "sandboxed.h"
#include "wire.h"

namespace {

using namespace frames;
using namespace testing_node;

class PathMtuListener : public test::Sandboxed<testing::TestWithParam<int>> {
 protected:
  void Prepare() override {
    auto opened = engine::PathMtuListener::Open("rst-a");
    ASSERT_TRUE(opened.ok()) << opened.error().detail;
    listener_ = std::move(opened).value();
    router_.emplace("rst-b");
    ASSERT_TRUE(router_->bound());
  }
  // A device takes in what is addressed to it; everything else is somebody else's message.
  static Mac MacOf(const char* device) {
    base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    RS_ASSERT(ioctl(fd.get(), SIOCGIFHWADDR, &request) == 0);
    Mac mac;
    std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
    return mac;
  }
  int family() const { return GetParam(); }
  uint32_t Overhead() const { return family() == 4 ? 50 : 70; }
  TableBuilder Table(int peer) const {
    TableBuilder table(1);
    table.AddPeer(peer, 4, family());
    return table;
  }
  const fwd::Snapshot& Publish(TableBuilder builder) {
    auto table = builder.Build({});
    const fwd::Snapshot& published = *table;
    listener_->Publish(publisher_, std::move(table));
    return published;
  }
  Bytes TooBig(int node, uint32_t mtu, uint8_t type, uint8_t code) const {
    const Address router = family() == 4 ? V4(203, 0, 113, 9) : V6(9, 9, 0x2001);
    const Address us = Underlay(1, family()), peer = Underlay(node, family());
    Bytes icmp = {type, code, 0, 0};
    Put32(icmp, mtu);
    Put(icmp,
        Cut(IpPacket({us, peer}, Udp(us, peer, 50000, 8472, Vxlan(1, Pattern(1420)))), 0, 80));
    const auto bytes = static_cast<uint32_t>(icmp.size());
    Set16(icmp, 2, 0xffff & ~Ones(icmp, family() == 4 ? 0 : PseudoSum(router, us, 58, bytes)));
    const uint8_t protocol = family() == 4 ? 1 : 58;
    return Ethernet(MacOf("rst-a"), MacOf("rst-b"), EtherType(us),
                    IpPacket({router, us, protocol}, icmp));
  }
  Bytes TooBig(int node, uint32_t mtu) const {
    return TooBig(node, mtu, family() == 4 ? 3 : 2, family() == 4 ? 4 : 0);
  }
  bool Until(const std::function<bool()>& condition) const {
    for (const uint64_t end = base::MonotonicNs() + 30'000'000'000; base::MonotonicNs() < end;) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  fwd::Publisher publisher_{0};
  std::unique_ptr<engine::PathMtuListener> listener_;
  std::optional<test::Wire> router_;
};

TEST_P(PathMtuListener, ARoutersMessageLowersThePathAndTheNextTableKeepsIt) {
  const fwd::Snapshot& first = Publish(Table(2));
  EXPECT_EQ(first.peers()[0].InnerMtu(), 1500 - Overhead());
  ASSERT_TRUE(router_->Send(TooBig(2, 1400)));
  ASSERT_TRUE(Until([&] { return first.peers()[0].InnerMtu() == 1400 - Overhead(); }));
  const fwd::Snapshot& second = Publish(Table(2));
  EXPECT_EQ(second.peers()[0].InnerMtu(), 1400 - Overhead());
  const auto seen = listener_->seen();
  EXPECT_EQ(seen.heard, 1u);
  EXPECT_EQ(seen.learned, 1u);
  EXPECT_EQ(seen.paths_lowered, 1u);
}

TEST_P(PathMtuListener, OtherIcmpIsNotEvenHeardAndForeignTooBigTeachesNothing) {
  const fwd::Snapshot& table = Publish(Table(2));
  ASSERT_TRUE(router_->Send(TooBig(2, 1400, family() == 4 ? 3 : 1, family() == 4 ? 1 : 0)));
  ASSERT_TRUE(router_->Send(TooBig(2, 1400, family() == 4 ? 8 : 128, 0)));
  ASSERT_TRUE(router_->Send(TooBig(3, 1400)));
  ASSERT_TRUE(Until([&] { return listener_->seen().heard == 1; }));
  EXPECT_EQ(listener_->seen().learned, 0u);
  EXPECT_EQ(table.peers()[0].InnerMtu(), 1500 - Overhead());
}

TEST_P(PathMtuListener, AMessageBeforeTheFirstTableDoesNoHarm) {
  ASSERT_TRUE(router_->Send(TooBig(2, 1400)));
  ASSERT_TRUE(Until([&] { return listener_->seen().heard == 1; }));
  EXPECT_EQ(listener_->seen().learned, 0u);
}

TEST_P(PathMtuListener, SurvivesTheDeviceBeingDeleted) {
  Publish(Table(2));
  ASSERT_TRUE(test::NetSandbox::Run("ip link del rst-a"));
  listener_.reset();  // Ends its thread.
  ASSERT_TRUE(test::NetSandbox::Run("ip link add rst-a type veth peer name rst-b"));
}

TEST(PathMtuListenerOpen, NamesTheDeviceThatIsNotThere) {
  const auto opened = engine::PathMtuListener::Open("rst-none");
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().detail.find("rst-none"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Families, PathMtuListener, ::testing::Values(4, 6),
                         [](const auto& info) { return "OverIpv" + std::to_string(info.param); });

}  // namespace
