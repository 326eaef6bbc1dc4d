// Every wire format in every address family: the exact outer bytes, and that decap undoes encap.
#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;

struct Combination {
  fwd::Encapsulation encapsulation;
  int outer, inner;
};

class Formats : public ::testing::TestWithParam<Combination> {
 protected:
  bool vxlan() const { return GetParam().encapsulation == fwd::Encapsulation::kVxlan; }
  int outer() const { return GetParam().outer; }
  int inner() const { return GetParam().inner; }
  fwd::Format Format() const {
    fwd::Format format;
    format.encapsulation = GetParam().encapsulation;
    format.port = vxlan() ? 8472 : 8285;
    format.vni = 0xabcdef;
    return format;
  }
  TableBuilder Table(int node, int other) const {
    TableBuilder table(node);
    table.AddPeer(9, inner(), outer());
    table.AddPeer(other, inner(), outer());
    return table;
  }
  Bytes InnerIp(uint8_t tos, uint8_t ttl, const Bytes& payload) const {
    const Address from = Pod(1, inner()), to = Pod(2, inner());
    return IpPacket({from, to, 17, tos, ttl}, Udp(from, to, 1111, 2222, payload));
  }
  Bytes Frame(const Bytes& ip) const {
    return Ethernet(VtepMac(2), VtepMac(1), EtherType(Pod(1, inner())), ip);
  }

  // What node 1 should put on the wire towards node 2, but for the source port, which is given.
  Bytes Expected(const Bytes& ip, uint32_t source_port, uint8_t tos) const {
    const Address from = Underlay(1, outer()), to = Underlay(2, outer());
    const Bytes payload = vxlan() ? Vxlan(0xabcdef, Frame(ip)) : ip;
    Bytes udp = Udp(from, to, source_port, vxlan() ? 8472 : 8285, payload);
    if (outer() == 4) Set16(udp, 6, 0);
    return Ethernet(NicMac(2), NicMac(1), EtherType(from), IpPacket({from, to, 17, tos}, udp));
  }
};

TEST_P(Formats, EncapWritesExactlyTheExpectedOuterBytesAndDecapUndoesThem) {
  Node sender(Table(1, 2), Format()), receiver(Table(2, 1), Format());
  const uint32_t overhead = (outer() == 4 ? 42 : 62) + (vxlan() ? 8 : -14);
  for (const size_t size : {0u, 1u, 2u, 17u, 18u, 512u, 1000u, 1380u}) {
    const Bytes sent = InnerIp(0x2a, 64, Pattern(size));
    sender.Encap(sender.Packet(Frame(sent)));
    ASSERT_EQ(sender.forward.packets.size(), 1u);
    pkt::Packet* out = sender.forward.packets[0];
    const Bytes wire = BytesOf(*out);
    const size_t udp_at = outer() == 4 ? 34 : 54;
    const uint32_t source_port = Get16(wire, udp_at);
    EXPECT_GE(source_port, 49152u);
    // The udp format routes, so it takes one off the TTL; VXLAN switches.
    const Bytes carried = InnerIp(0x2a, vxlan() ? 64 : 63, Pattern(size));
    EXPECT_EQ(Hex(wire), Hex(Expected(carried, source_port, 0x02)));
    EXPECT_EQ(out->len, 14 + sent.size() + overhead);
    EXPECT_EQ(out->outer_l4_offset, udp_at);
    EXPECT_EQ(out->inner_offset, udp_at + (vxlan() ? 16 : 8));

    receiver.Decap(receiver.Packet(wire));
    ASSERT_EQ(receiver.forward.packets.size(), 1u) << "size " << size;
    EXPECT_EQ(Hex(BytesOf(*receiver.forward.packets[0])), Hex(Frame(carried)));
    sender.GiveBack();
    receiver.GiveBack();
  }
  EXPECT_EQ(sender.AllDrops() + receiver.AllDrops(), 0u);
  EXPECT_EQ(receiver.counters.rx_packets.Read(), 8u);
}

// ECN always goes along (RFC 6040, normal mode); DSCP only where it is asked for.
TEST_P(Formats, TheOuterPacketHasTheInnerOnesEcnAndOnRequestItsDscp) {
  for (const bool uniform : {false, true}) {
    fwd::Format format = Format();
    format.copy_dscp = uniform;
    Node sender(Table(1, 2), format);
    for (const uint32_t tos : {0x00u, 0x01u, 0x02u, 0x03u, 0xb8u, 0xbbu, 0xfeu}) {
      sender.Encap(sender.Packet(Frame(InnerIp(static_cast<uint8_t>(tos), 64, Pattern(20)))));
      ASSERT_EQ(sender.forward.packets.size(), 1u);
      const Bytes wire = BytesOf(*sender.forward.packets[0]);
      const uint32_t outer_tos = outer() == 4 ? wire[15] : Get16(wire, 14) >> 4 & 0xff;
      EXPECT_EQ(outer_tos, uniform ? tos : tos & 3);
      if (outer() == 4) EXPECT_EQ(Ones(Cut(wire, 14, 20)), 0xffffu) << "the header's sum";
      sender.GiveBack();
    }
  }
}

TEST_P(Formats, TheOuterChecksumOfAPacketWithAPartialInnerOneIsRightOnceTheInnerOneIsFilled) {
  fwd::Format format = Format();
  format.checksum_v4 = true;
  Node sender(Table(1, 2), format);
  const Bytes whole = InnerIp(0, 64, Pattern(333));
  Bytes partial = whole;
  const size_t l4 = inner() == 4 ? 20 : 40;
  const Bytes udp = Cut(whole, l4, whole.size() - l4);
  Set16(partial, l4 + 6,
        PseudoSum(Pod(1, inner()), Pod(2, inner()), 17, static_cast<uint32_t>(udp.size())));
  pkt::Packet* packet = sender.Packet(Frame(partial));
  packet->checksum = pkt::Checksum::kPartial;
  packet->csum_start = static_cast<uint16_t>(14 + l4);
  packet->csum_offset = 6;
  sender.Encap(packet);
  ASSERT_EQ(sender.forward.packets.size(), 1u);
  EXPECT_EQ(packet->checksum, pkt::Checksum::kPartial);
  Bytes wire = BytesOf(*packet);
  const size_t field = packet->csum_start + packet->csum_offset;
  Set16(wire, field, Get16(whole, l4 + 6));  // As whoever segments after us would fill it.
  const size_t udp_at = packet->outer_l4_offset;
  const Bytes outer_udp = Cut(wire, udp_at, wire.size() - udp_at);
  EXPECT_EQ(Ones(outer_udp, PseudoSum(Underlay(1, outer()), Underlay(2, outer()), 17,
                                      static_cast<uint32_t>(outer_udp.size()))),
            0xffffu);
}

TEST_P(Formats, ASuperPacketKeepsItsMetadataShiftedAndCountsAsItsSegments) {
  Node sender(Table(1, 2), Format(), 65536 + 2048, 8),
      receiver(Table(2, 1), Format(), 65536 + 2048, 8);
  const Address from = Pod(1, inner()), to = Pod(2, inner());
  const Bytes tcp = TcpSegment(from, to, {}, Pattern(1300 * 20 + 7));
  pkt::Packet* packet = sender.Packet(Frame(IpPacket({from, to, 6}, tcp)));
  const uint32_t l4 = inner() == 4 ? 20 : 40;
  packet->checksum = pkt::Checksum::kPartial;
  packet->gso = inner() == 4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6;
  packet->gso_size = 1300;
  packet->csum_start = static_cast<uint16_t>(14 + l4);
  packet->csum_offset = 16;
  sender.Encap(packet);
  ASSERT_EQ(sender.forward.packets.size(), 1u);
  EXPECT_EQ(packet->segments, 21);
  EXPECT_EQ(sender.counters.rx_packets.Read(), 21u);
  EXPECT_EQ(packet->csum_start, packet->inner_offset + (vxlan() ? 14 : 0) + l4);
  EXPECT_EQ(packet->outer_checksum, outer() == 6);
  if (outer() == 6) {
    const Bytes wire = BytesOf(*packet);
    const uint32_t udp_bytes = static_cast<uint32_t>(wire.size()) - 54;
    EXPECT_EQ(Get16(wire, 54 + 6), PseudoSum(Underlay(1, 6), Underlay(2, 6), 17, udp_bytes));
  }
  pkt::Packet* received = receiver.Packet(BytesOf(*packet));
  received->checksum = packet->checksum;
  received->gso = packet->gso;
  received->gso_size = packet->gso_size;
  received->csum_start = packet->csum_start;
  received->csum_offset = packet->csum_offset;
  receiver.Decap(received);
  ASSERT_EQ(receiver.forward.packets.size(), 1u);
  EXPECT_EQ(received->segments, 21);
  EXPECT_EQ(received->csum_start, 14 + l4);
  EXPECT_EQ(received->inner_offset, 0);
  const Bytes got = BytesOf(*received);
  EXPECT_EQ(Hex(Cut(got, 14 + l4, tcp.size())), Hex(tcp));
}

std::string NameOf(const ::testing::TestParamInfo<Combination>& info) {
  return std::string(info.param.encapsulation == fwd::Encapsulation::kVxlan ? "Vxlan" : "Udp") +
         "OverIpv" + std::to_string(info.param.outer) + "WithInnerIpv" +
         std::to_string(info.param.inner);
}

constexpr auto kVxlan = fwd::Encapsulation::kVxlan, kUdp = fwd::Encapsulation::kUdp;
INSTANTIATE_TEST_SUITE_P(All, Formats,
                         ::testing::Values(Combination{kVxlan, 4, 4}, Combination{kVxlan, 4, 6},
                                           Combination{kVxlan, 6, 4}, Combination{kVxlan, 6, 6},
                                           Combination{kUdp, 4, 4}, Combination{kUdp, 4, 6},
                                           Combination{kUdp, 6, 4}, Combination{kUdp, 6, 6}),
                         NameOf);

}  // namespace
