// The receive checks once more for flannel's udp format, whose payload is a bare IP packet: each
// drop reason that it knows by the packet that should end in it, in all four pairs of families.
#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

constexpr uint32_t kPort = 8285;

fwd::Format UdpFormat() {
  fwd::Format format;
  format.encapsulation = fwd::Encapsulation::kUdp;
  format.port = kPort;
  return format;
}

class DecapUdpChecks : public ::testing::TestWithParam<std::pair<int, int>> {
 protected:
  DecapUdpChecks() : node_(Table(), UdpFormat()) {}
  int outer() const { return GetParam().first; }
  int inner() const { return GetParam().second; }
  size_t udp_at() const { return outer() == 4 ? 34 : 54; }
  TableBuilder Table() const {
    TableBuilder table(2);
    table.AddPeer(1, inner(), outer());
    table.AddPeer(3, inner(), outer());
    return table;
  }
  Ip GoodOuter() const { return {Underlay(1, outer()), Underlay(2, outer())}; }
  Ip GoodInner() const { return {Pod(1, inner()), Pod(2, inner())}; }
  static Bytes InnerPacket(const Ip& ip, size_t payload = 64) {
    return IpPacket(ip, Udp(ip.from, ip.to, 1111, 2222, Pattern(payload)));
  }
  // As node 1 sends it; `checksum`: the outer one is there.
  static Bytes Wire(const Ip& outer, const Bytes& inner, uint32_t port = kPort,
                    bool checksum = true) {
    Bytes udp = Udp(outer.from, outer.to, kPort, port, inner);
    if (!checksum) Set16(udp, 6, 0);
    return Ethernet(NicMac(2), NicMac(1), EtherType(outer.from), IpPacket(outer, udp));
  }
  void ExpectDrop(DropReason reason, const Bytes& frame) {
    const uint64_t before = node_.Drops(reason), all = node_.AllDrops();
    node_.Decap(node_.Packet(frame));
    EXPECT_EQ(node_.Drops(reason), before + 1)
        << pkt::kDropReasonTexts[static_cast<uint32_t>(reason)].label;
    EXPECT_EQ(node_.AllDrops(), all + 1);
    EXPECT_TRUE(node_.forward.packets.empty() && node_.reply.packets.empty());
    node_.GiveBack();
  }
  void ExpectDropOfInner(DropReason reason, const Bytes& inner) {
    ExpectDrop(reason, Wire(GoodOuter(), inner));
  }
  // Arrives as an Ethernet frame from the peer's VTEP to ours.
  void ExpectDelivery(const Bytes& frame, const Bytes& ip) {
    node_.Decap(node_.Packet(frame));
    ASSERT_EQ(node_.forward.packets.size(), 1u);
    EXPECT_EQ(Hex(BytesOf(*node_.forward.packets[0])),
              Hex(Ethernet(VtepMac(2), VtepMac(1), inner() == 4 ? 0x0800 : 0x86dd, ip)));
    node_.GiveBack();
  }

  Node node_;
};

TEST_P(DecapUdpChecks, AGoodPacketPassesWithAndWithoutOuterChecksumDownToABareHeader) {
  const Bytes ip = InnerPacket(GoodInner());
  ExpectDelivery(Wire(GoodOuter(), ip), ip);
  ExpectDelivery(Wire(GoodOuter(), ip, kPort, false), ip);
  Ip bare = GoodInner();
  bare.protocol = 59;
  ExpectDelivery(Wire(GoodOuter(), IpPacket(bare, {})), IpPacket(bare, {}));
}

TEST_P(DecapUdpChecks, OuterHeadersAreChecked) {
  const Bytes good = Wire(GoodOuter(), InnerPacket(GoodInner()));
  for (size_t bytes = 0; bytes < good.size(); ++bytes)
    ExpectDrop(DropReason::kOuterLength, Cut(good, 0, bytes));
  Bytes frame = good;
  Set16(frame, 12, 0x0806);
  ExpectDrop(DropReason::kOuterVersion, frame);
  Ip outer_ip = GoodOuter();
  if (outer() == 4) {
    frame = good;
    frame[14 + 8] ^= 1;
    ExpectDrop(DropReason::kOuterChecksum, frame);
    outer_ip.fragment = 0x2000;
  } else {
    outer_ip.protocol = 44;
  }
  ExpectDrop(DropReason::kOuterFragment, Wire(outer_ip, InnerPacket(GoodInner())));
  const auto true_length = static_cast<uint32_t>(good.size() - udp_at());
  for (const uint32_t length : {0u, 7u, 8u, 8u + 19, true_length + 1, 65535u}) {
    frame = good;
    Set16(frame, udp_at() + 4, length);
    ExpectDrop(DropReason::kUdpLength, frame);
  }
  frame = good;
  frame.back() ^= 1;
  ExpectDrop(DropReason::kUdpChecksum, frame);
}

TEST_P(DecapUdpChecks, OnlyAPeersPacketsToUsAreTaken) {
  const Bytes ip = InnerPacket(GoodInner());
  ExpectDrop(DropReason::kNotOurs, Wire(GoodOuter(), ip, 8472));
  Ip elsewhere = GoodOuter();
  elsewhere.to = Underlay(3, outer());
  ExpectDrop(DropReason::kNotOurs, Wire(elsewhere, ip));
  Ip stranger = GoodOuter();
  stranger.from = Underlay(77, outer());
  ExpectDrop(DropReason::kUnknownPeer, Wire(stranger, ip));
}

TEST_P(DecapUdpChecks, TheInnerPacketIsChecked) {
  const Bytes good = InnerPacket(GoodInner());
  for (const int version : {0, 5, 15}) {
    Bytes ip = good;
    ip[0] = static_cast<uint8_t>(version << 4 | (ip[0] & 15));
    // Whatever is not IPv4 is looked at as IPv6.
    ExpectDropOfInner(DropReason::kInnerType, ip);
  }
  for (size_t bytes = inner() == 4 ? 20 : 40; bytes < good.size(); ++bytes)
    ExpectDropOfInner(DropReason::kInnerLength, Cut(good, 0, bytes));
  for (const Address& spoofed : {Pod(2, inner()), Pod(3, inner()), Pod(77, inner())}) {
    Ip ip = GoodInner();
    ip.from = spoofed;
    ExpectDropOfInner(DropReason::kInnerSource, InnerPacket(ip));
  }
  for (const Address& target : {Pod(1, inner()), Pod(3, inner()), Underlay(2, inner())}) {
    Ip ip = GoodInner();
    ip.to = target;
    ExpectDropOfInner(DropReason::kInnerDestination, InnerPacket(ip));
  }
  Ip dead = GoodInner();
  dead.ttl = 0;
  ExpectDropOfInner(DropReason::kTtl, InnerPacket(dead));
}

TEST_P(DecapUdpChecks, APacketOfTheSameFormatInsideIsNestedAndOtherDatagramsToThePortAreNot) {
  const Ip ip = GoodInner();
  const auto to_port = [&](const Bytes& payload) {
    return IpPacket(ip, Udp(ip.from, ip.to, 5, kPort, payload));
  };
  ExpectDropOfInner(DropReason::kNested, to_port(InnerPacket(GoodInner(), 3)));
  for (const Bytes& payload : {Bytes{}, Pattern(30, 2), Bytes(30, 0x11)})
    ExpectDelivery(Wire(GoodOuter(), to_port(payload)), to_port(payload));
}

TEST_P(DecapUdpChecks, CongestionOfTheOuterPacketReachesTheInnerOne) {
  Ip congested = GoodOuter();
  congested.tos = 3;
  ExpectDrop(DropReason::kEcn, Wire(congested, InnerPacket(GoodInner())));
  Ip capable = GoodInner(), marked = GoodInner();
  capable.tos = 2;
  marked.tos = 3;
  ExpectDelivery(Wire(congested, InnerPacket(capable)), InnerPacket(marked));
}

INSTANTIATE_TEST_SUITE_P(Families, DecapUdpChecks,
                         ::testing::Values(std::pair{4, 4}, std::pair{4, 6}, std::pair{6, 4},
                                           std::pair{6, 6}),
                         [](const auto& info) {
                           return "OuterIpv" + std::to_string(info.param.first) + "InnerIpv" +
                                  std::to_string(info.param.second);
                         });

}  // namespace
