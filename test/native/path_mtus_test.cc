// How long a learned path MTU counts, what it changes, and that a new table begins with it.
#include "fwd/path_mtus.h"

#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint64_t kLater = kNow + fwd::PathMtus::kLifetimeNs;

class PathMtus : public ::testing::TestWithParam<int> {
 protected:
  int family() const { return GetParam(); }
  // Node 2 holds two prefixes; nodes 2 and 3 are reached over the family under test.
  TableBuilder Table() const {
    TableBuilder table(1);
    table.AddPeer(2, 4, family());
    table.AddPeer(2, 6, family());
    table.AddPeer(3, 4, family());
    return table;
  }
  fwd::PathMtu Path(int node, uint16_t mtu) const {
    fwd::PathMtu path;
    path.family = static_cast<uint8_t>(family());
    path.mtu = mtu;
    const Bytes address = Underlay(node, family()).bytes;
    std::copy(address.begin(), address.end(), path.peer.begin());
    return path;
  }
  uint32_t Overhead() const { return family() == 4 ? 50 : 70; }
  uint32_t OuterMtu(const fwd::Snapshot& table, size_t peer) const {
    return table.peers()[peer].InnerMtu() + Overhead();
  }
};

TEST_P(PathMtus, AllPrefixesOfTheNodeAndNoOtherGetTheLowerMtu) {
  const auto table = Table().Build({});
  fwd::PathMtus paths;
  EXPECT_TRUE(paths.Learn(Path(2, 1400), kNow, *table));
  EXPECT_EQ(OuterMtu(*table, 0), 1400u);
  EXPECT_EQ(OuterMtu(*table, 1), 1400u);
  EXPECT_EQ(OuterMtu(*table, 2), 1500u);
  EXPECT_EQ(paths.size(), 1u);
}

TEST_P(PathMtus, OnlyALowerOneTeachesAndTheSameOneCountsAnew) {
  const auto table = Table().Build({});
  fwd::PathMtus paths;
  EXPECT_TRUE(paths.Learn(Path(2, 1400), kNow, *table));
  EXPECT_FALSE(paths.Learn(Path(2, 1450), kNow + 1, *table));
  EXPECT_EQ(OuterMtu(*table, 0), 1400u);
  EXPECT_EQ(paths.NextExpiry(), kLater);
  EXPECT_TRUE(paths.Learn(Path(2, 1400), kNow + 2, *table));
  EXPECT_EQ(paths.NextExpiry(), kLater + 2);
  EXPECT_TRUE(paths.Learn(Path(2, 1300), kNow + 3, *table));
  EXPECT_EQ(OuterMtu(*table, 0), 1300u);
  EXPECT_EQ(paths.size(), 1u);
}

TEST_P(PathMtus, AfterTenMinutesThePathIsTriedAtFullSizeAgain) {
  const auto table = Table().Build({});
  fwd::PathMtus paths;
  EXPECT_EQ(paths.NextExpiry(), UINT64_MAX);
  paths.Learn(Path(2, 1400), kNow, *table);
  paths.Learn(Path(3, 1300), kNow + 5, *table);
  paths.Expire(kLater - 1, *table);
  EXPECT_EQ(OuterMtu(*table, 0), 1400u);
  paths.Expire(kLater, *table);
  EXPECT_EQ(OuterMtu(*table, 0), 1500u);
  EXPECT_EQ(OuterMtu(*table, 1), 1500u);
  EXPECT_EQ(OuterMtu(*table, 2), 1300u);
  EXPECT_EQ(paths.NextExpiry(), kLater + 5);
}

TEST_P(PathMtus, ANewTableBeginsWithWhatIsKnownAndForgetsWhoLeft) {
  const auto first = Table().Build({});
  fwd::PathMtus paths;
  paths.Learn(Path(2, 1400), kNow, *first);
  paths.Learn(Path(3, 1300), kNow, *first);
  TableBuilder builder(1);
  builder.AddPeer(4, 4, family());
  builder.AddPeer(3, 4, family());
  const auto second = builder.Build({});
  paths.Follow(*second);
  EXPECT_EQ(OuterMtu(*second, 0), 1500u);
  EXPECT_EQ(OuterMtu(*second, 1), 1300u);
  EXPECT_EQ(paths.size(), 1u);
  paths.Expire(kLater, *second);
  EXPECT_EQ(OuterMtu(*second, 1), 1500u);
}

TEST_P(PathMtus, ATableThatKnowsASmallerOneStaysInForce) {
  TableBuilder builder = Table();
  builder.peers[0].path_mtu = 1350;
  const auto table = builder.Build({});
  fwd::PathMtus paths;
  paths.Learn(Path(2, 1400), kNow, *table);
  EXPECT_EQ(OuterMtu(*table, 0), 1350u);
  EXPECT_EQ(OuterMtu(*table, 1), 1400u);
  paths.Expire(kLater, *table);
  EXPECT_EQ(OuterMtu(*table, 0), 1350u);
}

TEST_P(PathMtus, AStrangersPathIsNotRemembered) {
  const auto table = Table().Build({});
  fwd::PathMtus paths;
  EXPECT_FALSE(paths.Learn(Path(9, 1400), kNow, *table));
  EXPECT_EQ(paths.size(), 0u);
}

TEST_P(PathMtus, EncapAnswersWithTheLearnedMtuAndFragmentsWhereItMay) {
  Node node(Table(), {});
  fwd::PathMtus paths;
  paths.Learn(Path(2, 1400), kNow, *node.table);
  const Address from = Pod(1, 4), to = Pod(2, 4);
  const auto frame = [&](uint16_t fragment, size_t payload) {
    Ip ip{from, to};
    ip.fragment = fragment;
    return Ethernet(VtepMac(2), VtepMac(1), 0x0800,
                    IpPacket(ip, Udp(from, to, 1, 2, Pattern(payload))));
  };
  const size_t fits = 1400 - Overhead() - 28;
  node.Encap(node.Packet(frame(0x4000, fits)));
  ASSERT_EQ(node.forward.packets.size(), 1u);
  EXPECT_EQ(node.forward.packets[0]->len, 14 + 1400u);
  node.GiveBack();
  node.Encap(node.Packet(frame(0x4000, fits + 1)));
  ASSERT_EQ(node.reply.packets.size(), 1u);
  const Bytes answer = BytesOf(*node.reply.packets[0]);
  EXPECT_EQ(Get16(answer, 14 + 20), 0x0304u);
  EXPECT_EQ(Get32(answer, 14 + 24), 1400 - Overhead());
  node.GiveBack();
  node.Encap(node.Packet(frame(0, fits + 1)));
  ASSERT_EQ(node.forward.packets.size(), 2u);
  for (const pkt::Packet* piece : node.forward.packets) EXPECT_LE(piece->len, 14 + 1400u);
}

INSTANTIATE_TEST_SUITE_P(Families, PathMtus, ::testing::Values(4, 6),
                         [](const auto& info) { return "OverIpv" + std::to_string(info.param); });

}  // namespace
