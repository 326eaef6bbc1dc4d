// Properties that hold for all inputs, tried on many: decap undoes encap, a corrected checksum is
// the computed one, no length makes anything but a verdict, nobody sends under another's name.
// RIPSTOP_SEED repeats a run, RIPSTOP_ROUNDS makes it longer.
#include <cstdlib>
#include <random>

#include "net/ipv4.h"
#include "node.h"
#include "path/segment.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Combination {
  fwd::Encapsulation encapsulation;
  int outer, inner;
};

class Properties : public ::testing::TestWithParam<Combination> {
 protected:
  Properties()
      : seed_(FromEnvironment("RIPSTOP_SEED", std::random_device{}())),
        rounds_(static_cast<uint32_t>(FromEnvironment("RIPSTOP_ROUNDS", 1000))),
        random_(static_cast<std::mt19937::result_type>(seed_)) {}
  bool vxlan() const { return GetParam().encapsulation == fwd::Encapsulation::kVxlan; }
  int outer() const { return GetParam().outer; }
  int inner() const { return GetParam().inner; }
  uint32_t InnerHeader() const { return inner() == 4 ? 20 : 40; }
  uint32_t OuterBytes() const { return 14 + (outer() == 4 ? 20 : 40) + 8 + (vxlan() ? 8 + 14 : 0); }
  fwd::Format Format() const {
    fwd::Format format;
    format.encapsulation = GetParam().encapsulation;
    format.port = vxlan() ? 8472 : 8285;
    format.checksum_v4 = true;
    format.unfilled_checksums = false;
    return format;
  }
  TableBuilder Table(int node) const {
    TableBuilder table(node);
    for (const int other : {1, 2, 3}) {
      if (other != node) table.AddPeer(other, inner(), outer());
    }
    return table;
  }
  uint32_t Below(uint32_t bound) { return random_() % bound; }

  // An inner frame of node 1 for node 2, any kind of content.
  Bytes InnerFrame(size_t payload_max) {
    const Address from = Pod(1, inner()), to = Pod(2, inner());
    Ip ip{from, to};
    ip.tos = static_cast<uint8_t>(random_());
    ip.ttl = static_cast<uint8_t>(2 + Below(254));
    ip.id = static_cast<uint16_t>(random_());
    const Bytes payload = Pattern(Below(static_cast<uint32_t>(payload_max)), random_());
    Bytes l4;
    switch (Below(3)) {
      case 0:
        ip.protocol = 17;
        l4 = Udp(from, to, Below(65536), 1 + Below(8000), payload);
        break;
      case 1:
        ip.protocol = 6;
        l4 = TcpSegment(from, to, {}, payload);
        break;
      default:
        ip.protocol = 132;  // Something that nobody here understands.
        l4 = payload;
    }
    return Ethernet(VtepMac(2), VtepMac(1), EtherType(from), IpPacket(ip, l4));
  }
  // As it arrives: the udp format routes, so one hop less.
  Bytes OneHopLess(Bytes frame) const {
    if (vxlan()) return frame;
    if (inner() == 6) {
      --frame[14 + 7];
      return frame;
    }
    --frame[14 + 8];
    Set16(frame, 24, 0);
    Set16(frame, 24, 0xffff & ~Ones(Cut(frame, 14, 20)));
    return frame;
  }
  Bytes GoodWire() {
    Node sender(Table(1), Format());
    const Address from = Pod(1, inner()), to = Pod(2, inner());
    sender.Encap(sender.Packet(Ethernet(VtepMac(2), VtepMac(1), EtherType(from),
                                        IpPacket({from, to}, Udp(from, to, 7, 9, Pattern(60))))));
    EXPECT_EQ(sender.forward.packets.size(), 1u);
    return BytesOf(*sender.forward.packets[0]);
  }

  uint64_t seed_;
  uint32_t rounds_;
  std::mt19937 random_;
};

TEST_P(Properties, DecapUndoesEncap) {
  SCOPED_TRACE("RIPSTOP_SEED=" + std::to_string(seed_));
  Node sender(Table(1), Format()), receiver(Table(2), Format());
  for (uint32_t i = 0; i < rounds_; ++i) {
    const Bytes frame = InnerFrame(1300);
    sender.Encap(sender.Packet(frame));
    ASSERT_EQ(sender.forward.packets.size(), 1u) << Hex(frame);
    receiver.Decap(receiver.Packet(BytesOf(*sender.forward.packets[0])));
    ASSERT_EQ(receiver.forward.packets.size(), 1u) << Hex(frame);
    ASSERT_EQ(Hex(BytesOf(*receiver.forward.packets[0])), Hex(OneHopLess(frame)));
    sender.GiveBack();
    receiver.GiveBack();
  }
}

// A super-packet that is encapsulated, then cut, arrives as the segments that cutting alone makes.
TEST_P(Properties, EncapAndSegmentCommute) {
  SCOPED_TRACE("RIPSTOP_SEED=" + std::to_string(seed_));
  Node sender(Table(1), Format(), 65536 + 2048, 96), receiver(Table(2), Format());
  for (uint32_t i = 0; i < rounds_ / 10; ++i) {
    const bool udp = Below(2) != 0;
    const auto size = static_cast<uint16_t>(500 + Below(800));
    const Address from = Pod(1, inner()), to = Pod(2, inner());
    const Bytes payload = Pattern(1 + Below(40u * size), random_());
    Ip ip{from, to, static_cast<uint8_t>(udp ? 17 : 6)};
    ip.id = static_cast<uint16_t>(random_());
    Tcp tcp;
    tcp.sequence = random_();
    tcp.flags = static_cast<uint8_t>(0x10 | (Below(2) << 3) | Below(2));
    const Bytes l4 = udp ? Udp(from, to, 5, 6, payload) : TcpSegment(from, to, tcp, payload);
    const Bytes frame = Ethernet(VtepMac(2), VtepMac(1), EtherType(from), IpPacket(ip, l4));
    const auto super_packet = [&] {
      pkt::Packet* packet = sender.Packet(frame);
      packet->gso = udp ? pkt::Gso::kUdp : inner() == 4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6;
      packet->gso_size = size;
      packet->segments = static_cast<uint16_t>((payload.size() + size - 1) / size);
      packet->checksum = pkt::Checksum::kPartial;
      packet->csum_start = static_cast<uint16_t>(14 + InnerHeader());
      packet->csum_offset = udp ? 6 : 16;
      return packet;
    };
    pkt::LaneCounters counters;
    Collector alone, wire;
    path::Segment(super_packet(), *sender.pool, alone.box, counters);
    alone.box.Flush();
    sender.Encap(super_packet());
    ASSERT_EQ(sender.forward.packets.size(), 1u);
    path::Segment(sender.forward.packets[0], *sender.pool, wire.box, counters);
    sender.given_back_segments += wire.packets.size() + wire.box.pending();
    sender.forward.packets.clear();
    wire.box.Flush();
    ASSERT_EQ(wire.packets.size(), alone.packets.size());
    for (size_t n = 0; n < wire.packets.size(); ++n) {
      receiver.Decap(receiver.Packet(BytesOf(*wire.packets[n])));
      ASSERT_EQ(receiver.forward.packets.size(), 1u);
      ASSERT_EQ(Hex(BytesOf(*receiver.forward.packets[0])),
                Hex(OneHopLess(BytesOf(*alone.packets[n]))));
      receiver.GiveBack();
    }
    for (Collector* from_box : {&alone, &wire}) {
      for (pkt::Packet* packet : from_box->packets) pkt::Give(packet);
    }
  }
  EXPECT_EQ(receiver.AllDrops(), 0u);
}

// Cut anywhere, a frame is a counted drop; only whole it passes. Both directions.
TEST_P(Properties, EveryLengthOfAFrameHasAVerdict) {
  Node receiver(Table(2), Format()), sender(Table(1), Format());
  const Bytes wire = GoodWire();
  for (size_t bytes = 0; bytes <= wire.size(); ++bytes) {
    receiver.Decap(receiver.Packet(Cut(wire, 0, bytes)));
    ASSERT_EQ(receiver.forward.packets.size(), bytes == wire.size() ? 1u : 0u) << bytes;
    receiver.GiveBack();
  }
  EXPECT_EQ(receiver.Drops(DropReason::kOuterLength), wire.size());
  const Bytes frame = InnerFrame(200);
  for (size_t bytes = 0; bytes <= frame.size(); ++bytes) {
    sender.Encap(sender.Packet(Cut(frame, 0, bytes)));
    ASSERT_EQ(sender.forward.packets.size(), bytes == frame.size() ? 1u : 0u) << bytes;
    sender.GiveBack();
  }
  EXPECT_EQ(sender.AllDrops(), frame.size());
}

// Every value of every 16-bit length field, sums right: a packet passes only when all agree.
TEST_P(Properties, EveryValueOfEveryLengthFieldHasAVerdict) {
  Node receiver(Table(2), Format());
  const Bytes good = GoodWire();
  const size_t outer_ip = 14, udp = outer() == 4 ? 34 : 54;
  const size_t inner_ip = OuterBytes();
  const auto field_of = [](size_t ip, int family) { return ip + (family == 4 ? 2 : 4); };
  const size_t fields[] = {field_of(outer_ip, outer()), udp + 4, field_of(inner_ip, inner()),
                           inner_ip + InnerHeader() + 4};
  for (size_t which = 0; which < 4; ++which) {
    const uint32_t right = Get16(good, fields[which]);
    for (uint32_t value = 0; value <= 0xffff; ++value) {
      Bytes frame = good;
      Set16(frame, fields[which], value);
      if (outer() == 4) {
        Set16(frame, 24, 0);
        Set16(frame, 24, 0xffff & ~Ones(Cut(frame, 14, 20)));
      }
      pkt::Packet* packet = receiver.Packet(frame);
      packet->checksum = pkt::Checksum::kVerified;  // The sums over what changed are not the point.
      receiver.Decap(packet);
      const bool passed = !receiver.forward.packets.empty();
      // The outer IP length may count more than UDP's does, UDP's more than the inner one's; the
      // inner UDP length is the pod's own business.
      const bool may =
          which == 3 || value == right ||
          (which == 2 && value < right && value >= InnerHeader() - (inner() == 6 ? 40 : 0));
      ASSERT_TRUE(!passed || may) << "field " << which << " value " << value;
      ASSERT_TRUE(passed || value != right);
      receiver.GiveBack();
    }
  }
}

// Who may send what to whom: every sender, inner source and inner destination against the rule,
// which is said here once more in other words.
TEST_P(Properties, TheSpoofingMatrix) {
  struct Named {
    const char* name;
    Address address;
    int holder;  // Node whose prefix it is, 0: nobody's.
  };
  const bool v4 = inner() == 4;
  const std::vector<Named> addresses = {
      {"ours", Pod(1, inner()), 1},
      {"of node 2", Pod(2, inner()), 2},
      {"of node 3", Pod(3, inner()), 3},
      {"of nobody", v4 ? V4(10, 244, 200, 5) : V6(200, 5), 0},
      {"of the internet", v4 ? V4(8, 8, 8, 8) : V6(0x4860, 0x8888, 0x2001), 0},
      {"our underlay's", Underlay(1, inner()), -1},
      {"underlay of node 2", Underlay(2, inner()), -2},
      {"underlay of node 3", Underlay(3, inner()), -3},
      {"unspecified", v4 ? V4(0, 0, 0, 0) : V6(0, 0, 0), 0},
      {"loopback", v4 ? V4(127, 0, 0, 1) : V6(0, 1, 0), 0},
      {"multicast", v4 ? V4(224, 0, 0, 1) : V6(0, 1, 0xff02), 0},
      {"link-local", v4 ? V4(169, 254, 0, 1) : V6(0, 1, 0xfe80), 0},
      {"broadcast", v4 ? V4(255, 255, 255, 255) : V6(0xffff, 0xffff, 0xff0f), 0},
  };
  Node receiver(Table(1), Format()), sender(Table(1), Format());
  for (const int from_node : {2, 3, 9}) {
    for (const Named& source : addresses) {
      for (const Named& target : addresses) {
        SCOPED_TRACE(std::string("node ") + std::to_string(from_node) + ": " + source.name +
                     " to " + target.name);
        const Bytes ip = IpPacket({source.address, target.address},
                                  Udp(source.address, target.address, 1, 2, Pattern(20)));
        const Bytes frame = Ethernet(VtepMac(1), VtepMac(from_node), EtherType(source.address), ip);
        const Address a = Underlay(from_node, outer()), b = Underlay(1, outer());
        const Bytes wire = Ethernet(NicMac(1), NicMac(from_node), EtherType(a),
                                    IpPacket({a, b}, Udp(a, b, 50000, vxlan() ? 8472 : 8285,
                                                         vxlan() ? Vxlan(1, frame) : ip)));
        receiver.Decap(receiver.Packet(wire));
        const bool host = source.holder == -from_node && outer() == inner();
        const bool allowed =
            from_node != 9 && (source.holder == from_node || host) && target.holder == 1;
        EXPECT_EQ(receiver.forward.packets.size(), allowed ? 1u : 0u);
        receiver.GiveBack();
        if (from_node != 2) continue;

        // Sending: only from our prefix or our own underlay address, only to somebody's prefix.
        sender.Encap(
            sender.Packet(Ethernet(VtepMac(9), VtepMac(1), EtherType(source.address), ip)));
        const bool own = source.holder == 1 || source.holder == -1;
        const bool carried = own && target.holder > 1;
        EXPECT_EQ(sender.forward.packets.size(), carried ? 1u : 0u);
        EXPECT_TRUE(own || sender.reply.packets.empty()) << "a forged source got an answer";
        sender.GiveBack();
        sender.now_ns += 1'000'000'000;
      }
    }
  }
}

std::string NameOf(const ::testing::TestParamInfo<Combination>& info) {
  return std::string(info.param.encapsulation == fwd::Encapsulation::kVxlan ? "Vxlan" : "Udp") +
         "OverIpv" + std::to_string(info.param.outer) + "WithInnerIpv" +
         std::to_string(info.param.inner);
}

constexpr auto kVxlan = fwd::Encapsulation::kVxlan, kUdp = fwd::Encapsulation::kUdp;
INSTANTIATE_TEST_SUITE_P(All, Properties,
                         ::testing::Values(Combination{kVxlan, 4, 4}, Combination{kVxlan, 4, 6},
                                           Combination{kVxlan, 6, 4}, Combination{kVxlan, 6, 6},
                                           Combination{kUdp, 4, 4}, Combination{kUdp, 4, 6},
                                           Combination{kUdp, 6, 4}, Combination{kUdp, 6, 6}),
                         NameOf);

TEST(IncrementalChecksum, EqualsTheFullOneAfterAnyChange) {
  const uint64_t seed = FromEnvironment("RIPSTOP_SEED", std::random_device{}());
  SCOPED_TRACE("RIPSTOP_SEED=" + std::to_string(seed));
  std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
  const auto rounds = FromEnvironment("RIPSTOP_ROUNDS", 1000) * 100;
  for (uint64_t i = 0; i < rounds; ++i) {
    Bytes header = Pattern(20 + 4 * (random() % 11), random());
    header[0] = static_cast<uint8_t>(0x40 | header.size() / 4);
    // Words of all ones and all zeros are where one's complement has two zeros.
    if (i % 3 == 0) Set16(header, 2 * (random() % 10), random() % 2 != 0 ? 0xffff : 0);
    if (i % 3 == 0) header[0] = static_cast<uint8_t>(0x40 | header.size() / 4);
    net::Ipv4::FillHeaderChecksum(header.data());
    ASSERT_TRUE(net::Ipv4::ChecksumRight(header.data()));
    switch (random() % 4) {
      case 0:
        net::Ipv4::SetTos(header.data(), static_cast<uint8_t>(random()));
        break;
      case 1:
        net::Ipv4::SetTtl(header.data(), static_cast<uint8_t>(random()));
        break;
      case 2:
        net::Ipv4::SetTotalBytes(header.data(), random() & 0xffff);
        break;
      default:
        net::Ipv4::SetWord(header.data(), 4, static_cast<uint16_t>(random()));
    }
    const uint32_t incremental = Get16(header, 10);
    net::Ipv4::FillHeaderChecksum(header.data());
    ASSERT_EQ(incremental, Get16(header, 10)) << Hex(header);
  }
}

}  // namespace
