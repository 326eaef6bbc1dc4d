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
  size_t header() const { return family() == 4 ? 20 : 40; }
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
    size_t quoted_bytes = 0;  // Of the offending packet; 0: its headers and some payload.
    size_t inner_bytes = 1400;
    uint16_t fragment = 0x4000;
    uint32_t vni = 1;
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
    Ip ip{message.quoted_from, message.quoted_to, message.quoted_protocol};
    ip.fragment = message.fragment;
    const Bytes quoted =
        IpPacket(ip, Udp(message.quoted_from, message.quoted_to, message.source_port, message.port,
                         Vxlan(message.vni, Pattern(message.inner_bytes))));
    Put(icmp, Cut(quoted, 0, message.quoted_bytes != 0 ? message.quoted_bytes : header() + 40));
    const uint8_t protocol = family() == 4 ? 1 : 58;
    const uint32_t pseudo =
        family() == 4 ? 0
                      : PseudoSum(message.from, message.to, 58, static_cast<uint32_t>(icmp.size()));
    Set16(icmp, 2, 0xffff & ~Ones(icmp, pseudo));
    if (!message.right) icmp[2] ^= 1;
    return Ethernet(NicMac(1), NicMac(9), EtherType(message.to),
                    IpPacket({message.from, message.to, protocol}, icmp));
  }
  std::optional<fwd::PathMtu> Read(const Message& message) const {
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
  EXPECT_EQ(std::memcmp(learned->peer.data(), peer.data(), peer.size()), 0);
}

TEST_P(OuterIcmp, TheEightBytesThatEveryRouterQuotesAreEnough) {
  Message message = Good();
  message.quoted_bytes = header() + 8;
  EXPECT_TRUE(Read(message).has_value());
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
  refused([&](Message& m) { m.quoted_bytes = header() + 7; });
  refused([](Message& m) { m.vni = 2; });
  refused([](Message& m) { m.inner_bytes = 1340; });  // Would have passed.
  refused([](Message& m) { m.inner_bytes = 1500; });  // We never send that much.
  if (family() == 4) refused([](Message& m) { m.fragment = 0; });
}

// The udp format's socket has one source port, and its payload is an IP packet.
TEST_P(OuterIcmp, OfTheUdpFormatOnlyItsOwnPortTeaches) {
  fwd::Format format;
  format.encapsulation = fwd::Encapsulation::kUdp;
  format.port = 8285;
  const auto table = Table().Build(format);
  const auto read = [&](uint32_t source_port) {
    Message message = Good();
    message.source_port = source_port;
    message.port = 8285;
    const Bytes frame = Frame(message);
    return path::ReadOuterIcmp(*table, frame.data(), static_cast<uint32_t>(frame.size()));
  };
  ASSERT_TRUE(read(8285).has_value());
  EXPECT_EQ(read(8285)->mtu, 1400);
  EXPECT_FALSE(read(50000).has_value());
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
