// Learning a path MTU from ICMP about our outer packets, and what must not teach us anything.
#include "path/outer_icmp.h"

#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;

class OuterIcmp : public ::testing::TestWithParam<int> {
 protected:
  OuterIcmp() : node_(Table(), {}) {}
  int family() const { return GetParam(); }
  TableBuilder Table() const {
    TableBuilder table(1);
    table.AddPeer(2, 4, family());
    return table;
  }
  struct Message {
    Address from, to, quoted_from, quoted_to;
    uint8_t type, code;
    uint32_t mtu = 1400, source_port = 50000, port = 8472;
    uint8_t quoted_protocol = 17;
    size_t quoted_bytes = 28 + 20;
    bool right = true;
  };
  Message Good() const {
    const bool v4 = family() == 4;
    return {v4 ? V4(203, 0, 113, 9) : V6(9, 9, 0x2001),
            Underlay(1, family()),
            Underlay(1, family()),
            Underlay(2, family()),
            static_cast<uint8_t>(v4 ? 3 : 2),
            static_cast<uint8_t>(v4 ? 4 : 0)};
  }
  Bytes Frame(const Message& message) const {
    Bytes icmp = {message.type, message.code, 0, 0};
    Put32(icmp, message.mtu);
    const Bytes quoted = IpPacket({message.quoted_from, message.quoted_to, message.quoted_protocol},
                                  Udp(message.quoted_from, message.quoted_to, message.source_port,
                                      message.port, Pattern(1400)));
    Put(icmp, Cut(quoted, 0, message.quoted_bytes));
    const uint8_t protocol = family() == 4 ? 1 : 58;
    const uint32_t pseudo =
        family() == 4 ? 0
                      : PseudoSum(message.from, message.to, 58, static_cast<uint32_t>(icmp.size()));
    Set16(icmp, 2, 0xffff & ~Ones(icmp, pseudo));
    if (!message.right) icmp[2] ^= 1;
    return Ethernet(NicMac(1), NicMac(9), EtherType(message.to),
                    IpPacket({message.from, message.to, protocol}, icmp));
  }
  std::optional<path::PathMtu> Read(const Message& message) const {
    const Bytes frame = Frame(message);
    return path::ReadOuterIcmp(*node_.table, frame.data(), static_cast<uint32_t>(frame.size()));
  }
  Node node_;
};

TEST_P(OuterIcmp, TeachesThePeerAndTheMtu) {
  const auto learned = Read(Good());
  ASSERT_TRUE(learned.has_value());
  EXPECT_EQ(learned->mtu, 1400);
  EXPECT_EQ(learned->family, family());
  const Bytes peer = Underlay(2, family()).bytes;
  EXPECT_EQ(std::memcmp(learned->peer, peer.data(), peer.size()), 0);
}

TEST_P(OuterIcmp, NeverBelowTheLeastOfTheFamilyAndNeverUpwards) {
  Message message = Good();
  for (const uint32_t mtu : {0u, 1u, 68u, 551u}) {
    message.mtu = mtu;
    ASSERT_TRUE(Read(message).has_value());
    EXPECT_EQ(Read(message)->mtu, family() == 4 ? 552 : 1280);
  }
  for (const uint32_t mtu : {1500u, 9000u, 65535u}) {
    message.mtu = mtu;
    EXPECT_FALSE(Read(message).has_value());
  }
}

TEST_P(OuterIcmp, ForgeriesAndForeignMessagesTeachNothing) {
  const auto refused = [&](auto change) {
    Message message = Good();
    change(message);
    EXPECT_FALSE(Read(message).has_value());
  };
  refused([](Message& m) { m.right = false; });
  refused([](Message& m) { m.type ^= 1; });
  refused([](Message& m) { m.code ^= 1; });
  refused([](Message& m) { m.source_port = 40000; });
  refused([](Message& m) { m.port = 53; });
  refused([](Message& m) { m.quoted_protocol = 6; });
  refused([&](Message& m) { m.quoted_from = Underlay(3, family()); });
  refused([&](Message& m) { m.quoted_to = Underlay(3, family()); });
  refused([&](Message& m) { m.quoted_bytes = (family() == 4 ? 20 : 40) + 7; });
}

TEST_P(OuterIcmp, EveryLengthUpToTheWholeFrameIsReadSafely) {
  const Bytes frame = Frame(Good());
  for (uint32_t bytes = 0; bytes < frame.size(); ++bytes) {
    const Bytes exact =
        Cut(frame, 0, bytes);  // Its own allocation, so that a sanitizer sees one byte too far.
    EXPECT_FALSE(path::ReadOuterIcmp(*node_.table, exact.data(), bytes).has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, OuterIcmp, ::testing::Values(4, 6),
                         [](const auto& info) { return "Ipv" + std::to_string(info.param); });

}  // namespace
