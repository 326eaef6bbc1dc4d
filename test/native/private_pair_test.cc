// The pair of devices behind an AF_XDP or AF_PACKET overlay port, in a namespace of the test's own.
#include "plane/private_pair.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include "sandboxed.h"

namespace {

using plane::PrivatePair;
using plane::PrivatePairOptions;

class PrivatePairTest : public test::Sandboxed<> {
 protected:
  static PrivatePairOptions Options(const char* name = "1") {
    PrivatePairOptions options;
    options.name = name;
    options.mtu = 1450;
    options.queues = 2;
    options.finish_frames = true;
    return options;
  }
  static bool Exists(const char* device) { return if_nametoindex(device) != 0; }
};

TEST_F(PrivatePairTest, IsUpHasItsQueuesFinishesFramesAndGoesWithItsOwner) {
  auto pair = PrivatePair::Open(Options());
  ASSERT_TRUE(pair.ok()) << pair.error().op << ": " << pair.error().detail;
  EXPECT_EQ((*pair)->steered_ifindex(), if_nametoindex("rsp.1"));
  EXPECT_EQ((*pair)->port_device(), "rsq.1");
  for (const char* check : {"ip link show dev rsp.1 | grep -q 'mtu 1450.*state UP'",
                            "ip link show dev rsq.1 | grep -q 'mtu 1450.*state UP'",
                            "ip -d link show dev rsq.1 | grep -q 'numtxqueues 2 numrxqueues 2'",
                            "ethtool -k rsp.1 | grep -q '^tx-checksumming: off'",
                            "ip -d link show dev rsp.1 | grep -q 'gso_max_segs 1 '"})
    EXPECT_TRUE(test::NetSandbox::Run(check)) << check;
  pair.value().reset();
  EXPECT_FALSE(Exists("rsp.1") || Exists("rsq.1"));
}

TEST_F(PrivatePairTest, TwoOwnersNeedTwoNames) {
  EXPECT_FALSE(PrivatePair::Held("1"));
  auto first = PrivatePair::Open(Options());
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(PrivatePair::Held("1"));
  auto second = PrivatePair::Open(Options());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, "NAME_HELD");
  EXPECT_TRUE(Exists("rsp.1")) << "the first owner's pair is left alone";
  EXPECT_TRUE(PrivatePair::Open(Options("1b")).ok());
}

TEST_F(PrivatePairTest, ReplacesWhatAKilledOwnerLeftAndNoDeviceOfAnotherKind) {
  ASSERT_TRUE(test::NetSandbox::Run("ip link add rsp.1 type veth peer name rsq.1"));
  const uint32_t left = if_nametoindex("rsp.1");
  {
    auto pair = PrivatePair::Open(Options());
    ASSERT_TRUE(pair.ok()) << pair.error().op << ": " << pair.error().detail;
    EXPECT_NE((*pair)->steered_ifindex(), left);
  }
  ASSERT_TRUE(test::NetSandbox::Run("ip link add rsp.1 type bridge"));
  auto refused = PrivatePair::Open(Options());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "DEVICE_CONFIGURE_FAILED");
  EXPECT_TRUE(Exists("rsp.1"));
}

}  // namespace
