// The transmit checks and answers: each drop reason, each ICMP answer, inner fragmentation.
#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

class EncapChecks : public ::testing::TestWithParam<int> {
 protected:
  int family() const { return GetParam(); }
  uint32_t header() const { return family() == 4 ? 20 : 40; }
  TableBuilder Table() const {
    TableBuilder table(1);
    table.AddPeer(2, family(), 4);
    return table;
  }
  fwd::Format Routed() const {
    fwd::Format format;
    format.encapsulation = fwd::Encapsulation::kUdp;
    format.port = 8285;
    return format;
  }
  Bytes Packet(const Ip& ip, size_t payload) const {
    return IpPacket(ip, Udp(ip.from, ip.to, 1111, 2222, Pattern(payload)));
  }
  Bytes Frame(const Bytes& ip) const {
    return Ethernet(VtepMac(2), VtepMac(1), EtherType(Pod(1, family())), ip);
  }
  Ip Good() const { return {Pod(1, family()), Pod(2, family())}; }

  void ExpectDrop(Node& node, const Bytes& frame, DropReason reason) {
    const uint64_t before = node.Drops(reason);
    node.Encap(node.Packet(frame));
    EXPECT_EQ(node.Drops(reason), before + 1)
        << pkt::kDropReasonTexts[static_cast<uint32_t>(reason)].label;
    EXPECT_TRUE(node.forward.packets.empty() && node.reply.packets.empty() &&
                node.punt.packets.empty());
    node.GiveBack();
  }
  // One ICMP answer to `frame`, whose quoted packet must be a prefix of what was sent.
  void ExpectAnswer(Node& node, const Bytes& frame, uint8_t type, uint8_t code, uint32_t mtu) {
    node.Encap(node.Packet(frame));
    ASSERT_EQ(node.reply.packets.size(), 1u);
    const Bytes reply = BytesOf(*node.reply.packets[0]);
    EXPECT_EQ(Hex(Cut(reply, 0, 12)), Hex(Cut(frame, 6, 6)) + Hex(Cut(frame, 0, 6)));
    const Ip sent = Good();
    const size_t icmp = 14 + header();
    const Bytes message = Cut(reply, icmp, reply.size() - icmp);
    Ip expected{Pod(2, family()),
                Pod(1, family()),
                static_cast<uint8_t>(family() == 4 ? 1 : 58),
                0,
                64,
                0,
                0};
    EXPECT_EQ(Hex(Cut(reply, 14, reply.size() - 14)), Hex(IpPacket(expected, message)));
    EXPECT_EQ(message[0], type);
    EXPECT_EQ(message[1], code);
    EXPECT_EQ(Get32(message, 4), mtu);
    const uint32_t pseudo = family() == 4 ? 0
                                          : PseudoSum(expected.from, expected.to, 58,
                                                      static_cast<uint32_t>(message.size()));
    EXPECT_EQ(Ones(message, pseudo), 0xffffu);
    EXPECT_EQ(Hex(Cut(message, 8, message.size() - 8)), Hex(Cut(frame, 14, message.size() - 8)));
    EXPECT_LE(reply.size() - 14, family() == 4 ? 576u : 1280u);
    EXPECT_EQ(node.counters.replies.Read(), 1u);
  }
};

TEST_P(EncapChecks, ForeignSourceIsRefusedAndOwnUnderlayAddressIsHostTraffic) {
  Node node(Table(), {});
  std::vector<Address> foreign = {Pod(2, family()), Pod(77, family()), Underlay(2, family())};
  if (family() == 4) foreign.push_back(Pod(1, 4, 255));  // Our own broadcast address.
  for (const Address& from : foreign) {
    Ip ip = Good();
    ip.from = from;
    ExpectDrop(node, Frame(Packet(ip, 20)), DropReason::kInnerSource);
  }
  Ip ip = Good();
  ip.from = Underlay(1, family());
  node.Encap(node.Packet(Frame(Packet(ip, 20))));
  EXPECT_EQ(node.forward.packets.size(), 1u);
}

TEST_P(EncapChecks, DestinationThatMayNotBeCarriedIsRefused) {
  Node node(Table(), {});
  const std::vector<Address> refused =
      family() == 4
          ? std::vector<Address>{V4(224, 0, 0, 251), V4(255, 255, 255, 255), V4(127, 0, 0, 1),
                                 V4(169, 254, 169, 254), V4(0, 0, 0, 0)}
          : std::vector<Address>{V6(0, 1, 0xff02), V6(0, 1, 0xfe80), V6(0, 1, 0), V6(0, 0, 0)};
  for (const Address& to : refused) {
    Ip ip = Good();
    ip.to = to;
    ExpectDrop(node, Frame(Packet(ip, 20)), DropReason::kInnerDestination);
  }
  // Our own prefix: it should never have come out of the overlay device.
  Ip ip = Good();
  ip.to = Pod(1, family(), 9);
  Bytes frame = Frame(Packet(ip, 20));
  frame[5] = 0x77;  // No peer's VTEP: the prefix decides.
  ExpectDrop(node, frame, DropReason::kInnerDestination);
}

TEST_P(EncapChecks, VlanTypeLengthAndDeadTtlAreRefused) {
  Node node(Table(), {});
  Bytes frame = Frame(Packet(Good(), 20));
  Set16(frame, 12, 0x8100);
  ExpectDrop(node, frame, DropReason::kInnerVlan);
  Set16(frame, 12, 0x0806);
  ExpectDrop(node, frame, DropReason::kInnerType);
  frame = Frame(Packet(Good(), 20));
  for (size_t bytes = 0; bytes < frame.size(); ++bytes)
    ExpectDrop(node, Cut(frame, 0, bytes), DropReason::kInnerLength);
  Ip ip = Good();
  ip.ttl = 0;
  ExpectDrop(node, Frame(Packet(ip, 20)), DropReason::kTtl);
}

TEST_P(EncapChecks, PodTrafficToOurOwnVxlanPortAndVniIsNested) {
  Node node(Table(), {});
  const Ip ip = Good();
  ExpectDrop(node, Frame(IpPacket(ip, Udp(ip.from, ip.to, 9, 8472, Vxlan(1, Pattern(30))))),
             DropReason::kNested);
  Node routed(Table(), Routed());
  ExpectDrop(routed, Frame(IpPacket(ip, Udp(ip.from, ip.to, 9, 8285, Packet(ip, 3)))),
             DropReason::kNested);
  routed.Encap(routed.Packet(Frame(IpPacket(ip, Udp(ip.from, ip.to, 9, 8285, Pattern(30, 2))))));
  EXPECT_EQ(routed.forward.packets.size(), 1u);
}

TEST_P(EncapChecks, VtepMacChoosesThePeerBeforeThePrefixDoes) {
  TableBuilder table = Table();
  table.AddPeer(3, family(), 4);
  Node node(std::move(table), {});
  Bytes frame = Frame(Packet(Good(), 20));
  frame[5] = 3;
  node.Encap(node.Packet(frame));
  ASSERT_EQ(node.forward.packets.size(), 1u);
  EXPECT_EQ(Hex(Cut(BytesOf(*node.forward.packets[0]), 30, 4)), Hex(Underlay(3, 4).bytes));
}

TEST_P(EncapChecks, OfPeersThatClaimOneMacTheInnerDestinationChooses) {
  TableBuilder table = Table();
  std::memcpy(table.AddPeer(3, family(), 4).vtep_mac, VtepMac(2).data(), 6);
  Node node(table, {});
  // The last is for a MAC that nobody has: what the kernel here calls one of them.
  for (const int vtep : {2, 77}) {
    for (const int to : {2, 3}) {
      Ip ip = Good();
      ip.to = Pod(to, family());
      Bytes frame = Frame(Packet(ip, 20));
      frame[5] = static_cast<uint8_t>(vtep);
      node.Encap(node.Packet(frame));
      ASSERT_EQ(node.forward.packets.size(), 1u);
      const Bytes wire = BytesOf(*node.forward.packets[0]);
      EXPECT_EQ(Hex(Cut(wire, 30, 4)), Hex(Underlay(to, 4).bytes));
      EXPECT_EQ(Hex(Cut(wire, 50, 6)), "020000000002");
      node.GiveBack();
    }
  }
}

TEST_P(EncapChecks, PeerInsideTheOverlayIsALoop) {
  TableBuilder table(1);
  CopyAddress(table.AddPeer(2, family(), 4).underlay, Pod(1, 4, 99).bytes);
  Node node(std::move(table), {});
  ExpectDrop(node, Frame(Packet(Good(), 20)), DropReason::kLoop);
}

TEST_P(EncapChecks, PeerWithoutNextHopIsPuntedUnchanged) {
  TableBuilder table(1);
  table.AddPeer(2, family(), 4).flags = 0;
  fwd::Format format;
  format.resolve_in_kernel = false;
  Node node(std::move(table), format);
  const Bytes frame = Frame(Packet(Good(), 20));
  node.Encap(node.Packet(frame));
  ASSERT_EQ(node.punt.packets.size(), 1u);
  EXPECT_EQ(Hex(BytesOf(*node.punt.packets[0])), Hex(frame));
  EXPECT_EQ(node.counters.punts.Read(), 1u);
}

TEST_P(EncapChecks, UnknownDestinationIsAnsweredAsUnreachable) {
  Node node(TableBuilder(1), {});
  const Bytes frame = Frame(Packet(Good(), 900));
  family() == 4 ? ExpectAnswer(node, frame, 3, 0, 0) : ExpectAnswer(node, frame, 1, 0, 0);
}

TEST_P(EncapChecks, PacketBeyondThePathIsAnsweredWithTheMtu) {
  Node node(Table(), {});
  const Bytes frame = Frame(Packet(Good(), 1450 - header() - 8 + 1));
  family() == 4 ? ExpectAnswer(node, frame, 3, 4, 1450) : ExpectAnswer(node, frame, 2, 0, 1450);
  node.GiveBack();
  node.Encap(node.Packet(Frame(Packet(Good(), 1450 - header() - 8))));
  EXPECT_EQ(node.forward.packets.size(), 1u);
}

TEST_P(EncapChecks, LearnedPathMtuOfAPeerCounts) {
  TableBuilder table(1);
  table.AddPeer(2, family(), 4).path_mtu = 1400;
  Node node(std::move(table), {});
  const Bytes frame = Frame(Packet(Good(), 1350 - header() - 8 + 1));
  family() == 4 ? ExpectAnswer(node, frame, 3, 4, 1350) : ExpectAnswer(node, frame, 2, 0, 1350);
}

TEST_P(EncapChecks, TheUdpFormatRoutesSoTtlOneIsAnsweredAsTimeExceeded) {
  Node node(Table(), Routed());
  Ip ip = Good();
  ip.ttl = 1;
  family() == 4 ? ExpectAnswer(node, Frame(Packet(ip, 100)), 11, 0, 0)
                : ExpectAnswer(node, Frame(Packet(ip, 100)), 3, 0, 0);
}

TEST_P(EncapChecks, IcmpErrorsAndLaterFragmentsAreNeverAnswered) {
  Node node(TableBuilder(1), {});
  Ip ip = Good();
  ip.protocol = family() == 4 ? 1 : 58;
  for (const int type :
       family() == 4 ? std::vector<int>{3, 4, 5, 11, 12} : std::vector<int>{1, 2, 3, 4, 127, 137}) {
    Bytes message = Pattern(40);
    message[0] = static_cast<uint8_t>(type);
    ExpectDrop(node, Frame(IpPacket(ip, message)), DropReason::kNoPeer);
  }
  Bytes echo = Pattern(40);
  echo[0] = family() == 4 ? 8 : 128;
  node.Encap(node.Packet(Frame(IpPacket(ip, echo))));
  EXPECT_EQ(node.reply.packets.size(), 1u);
  node.GiveBack();
  ip = Good();
  if (family() == 4) {
    ip.fragment = 5;
    ExpectDrop(node, Frame(Packet(ip, 40)), DropReason::kNoPeer);
  } else {
    ip.protocol = 44;
    Bytes fragment = {17, 0, 0x01, 0x01, 0, 0, 0, 1};
    Put(fragment, Pattern(40));
    ExpectDrop(node, Frame(IpPacket(ip, fragment)), DropReason::kNoPeer);
  }
}

TEST_P(EncapChecks, AnAnswerIsNoLongerThanWhatItIsAboutUnlessItWouldQuoteTooLittle) {
  const size_t least = 2 * header() + 8 + 8;
  for (size_t payload = 0; payload <= 1400; payload += payload < 120 ? 1 : 37) {
    Node node(TableBuilder(1), {});
    const Bytes frame = Frame(Packet(Good(), payload));
    family() == 4 ? ExpectAnswer(node, frame, 3, 0, 0) : ExpectAnswer(node, frame, 1, 0, 0);
    const Bytes reply = BytesOf(*node.reply.packets[0]);
    EXPECT_LE(reply.size(), std::max(frame.size(), 14 + least)) << payload;
    EXPECT_GE(reply.size(), 14 + least) << payload;
    node.GiveBack();
  }
}

TEST_P(EncapChecks, AnswersAreLimitedPerSourceAndTheRestIsCountedAsDropped) {
  Node node(TableBuilder(1), {});
  uint64_t to[2] = {};  // Two pods, asking in turn.
  const uint64_t start = node.now_ns;
  for (int i = 0; i < 1000; ++i) {
    node.now_ns = start + static_cast<uint64_t>(i) * 1'000'000;
    Ip ip = Good();
    ip.from = Pod(1, family(), 4 + i % 2);
    node.Encap(node.Packet(Frame(Packet(ip, 40))));
    to[i % 2] += node.reply.packets.size();
    node.GiveBack();
  }
  for (const uint64_t answers : to) {
    EXPECT_GE(answers, 5u);
    EXPECT_LE(answers, 10u);
  }
  const uint64_t answered = to[0] + to[1];
  EXPECT_EQ(node.Drops(DropReason::kNoPeer), 1000 - answered);
  for (int host = 6; host < 250; ++host) {
    Ip ip = Good();
    ip.from = Pod(1, family(), host);
    node.Encap(node.Packet(Frame(Packet(ip, 40))));
  }
  EXPECT_LE(node.counters.replies.Read(), answered + 50);
}

TEST_P(EncapChecks, FragmentsOfOnePacketShareTheSourcePort) {
  if (family() == 6) return;  // Covered by the hash taking no ports for any fragment.
  Node node(Table(), {});
  Ip ip = Good();
  std::string ports;
  for (const uint16_t fragment : {0x2000, 0x2010, 0x0020}) {
    ip.fragment = fragment;
    node.Encap(node.Packet(Frame(IpPacket(ip, Pattern(128, fragment)))));
    ports += Hex(Cut(BytesOf(*node.forward.packets.back()), 34, 2)) + " ";
  }
  EXPECT_EQ(ports.substr(0, 5), ports.substr(5, 5));
  EXPECT_EQ(ports.substr(5, 5), ports.substr(10, 5));
}

TEST_P(EncapChecks, InnerPacketWithDfClearIsFragmentedAndItsPiecesReassembleToIt) {
  if (family() == 6) return;  // IPv6 routers do not fragment.
  for (const auto encapsulation : {fwd::Encapsulation::kVxlan, fwd::Encapsulation::kUdp}) {
    fwd::Format format;
    format.encapsulation = encapsulation;
    const bool vxlan = encapsulation == fwd::Encapsulation::kVxlan;
    Node node(Table(), format);
    Ip ip = Good();
    ip.fragment = 0;
    ip.id = 4242;
    const Bytes payload = Udp(ip.from, ip.to, 1, 2, Pattern(3300));
    node.Encap(node.Packet(Frame(IpPacket(ip, payload))));
    ASSERT_EQ(node.forward.packets.size(), 3u);
    Bytes joined;
    for (const pkt::Packet* packet : node.forward.packets) {
      const Bytes wire = BytesOf(*packet);
      EXPECT_LE(wire.size() - 14, 1500u);
      const Bytes inner = Cut(wire, vxlan ? 64 : 42, wire.size() - (vxlan ? 64 : 42));
      const bool last = joined.size() + inner.size() - 20 == payload.size();
      Ip piece = ip;
      piece.ttl = vxlan ? 64 : 63;
      piece.fragment = static_cast<uint16_t>(joined.size() / 8 | (last ? 0 : 0x2000));
      const Bytes body = Cut(inner, 20, inner.size() - 20);
      EXPECT_EQ(Hex(inner), Hex(IpPacket(piece, body)));
      Put(joined, body);
    }
    EXPECT_EQ(Hex(joined), Hex(payload));
    EXPECT_EQ(node.counters.rx_packets.Read(), 3u);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EncapChecks, ::testing::Values(4, 6),
                         [](const auto& info) { return "Ipv" + std::to_string(info.param); });

}  // namespace
