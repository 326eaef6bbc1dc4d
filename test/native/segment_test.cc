// Segmentation against a reference that builds every segment from nothing; splitting; checksums
// filled late.
#include "path/segment.h"

#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

struct Shape {
  fwd::Encapsulation encapsulation;
  int outer, inner;
  bool tcp, encapsulated;
};

class Segments : public ::testing::TestWithParam<Shape> {
 protected:
  bool vxlan() const { return GetParam().encapsulation == fwd::Encapsulation::kVxlan; }
  int outer() const { return GetParam().outer; }
  int inner() const { return GetParam().inner; }
  uint32_t l4() const { return inner() == 4 ? 20 : 40; }
  uint32_t l4_header() const { return GetParam().tcp ? 32 : 8; }
  Bytes Options() const { return {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}; }

  Bytes Ip(uint16_t id, uint8_t ttl, const Bytes& l4_bytes) const {
    return IpPacket({Pod(1, inner()), Pod(2, inner()),
                     static_cast<uint8_t>(GetParam().tcp ? 6 : 17), 2, ttl, id},
                    l4_bytes);
  }
  Bytes L4(uint32_t offset, uint8_t flags, const Bytes& payload) const {
    const Address from = Pod(1, inner()), to = Pod(2, inner());
    if (!GetParam().tcp) return Udp(from, to, 4000, 5000, payload);
    return TcpSegment(from, to, {4000, 5000, 0xfffffff0u + offset, 77, flags, Options()}, payload);
  }
  Bytes Frame(const Bytes& ip) const {
    return Ethernet(VtepMac(2), VtepMac(1), EtherType(Pod(1, inner())), ip);
  }

  // The super-packet as a TAP hands it over: one L4 header, the checksum field with the pseudo sum
  // only.
  pkt::Packet* Super(Node& node, const Bytes& payload, uint16_t mss, uint8_t flags) const {
    Bytes ip = Ip(100, 64, L4(0, flags, payload));
    const uint32_t field = GetParam().tcp ? 16 : 6;
    Set16(ip, l4() + field,
          PseudoSum(Pod(1, inner()), Pod(2, inner()), GetParam().tcp ? 6 : 17,
                    static_cast<uint32_t>(ip.size() - l4())));
    pkt::Packet* packet = node.Packet(Frame(ip));
    packet->gso = !GetParam().tcp ? pkt::Gso::kUdp
                  : inner() == 4  ? pkt::Gso::kTcp4
                                  : pkt::Gso::kTcp6;
    packet->gso_size = mss;
    packet->gso_ecn = (flags & 0x80) != 0;
    packet->checksum = pkt::Checksum::kPartial;
    packet->csum_start = static_cast<uint16_t>(14 + l4());
    packet->csum_offset = static_cast<uint16_t>(field);
    return packet;
  }
  fwd::Format Format() const {
    fwd::Format format;
    format.encapsulation = GetParam().encapsulation;
    return format;
  }
  TableBuilder Table() const {
    TableBuilder table(1);
    table.AddPeer(2, inner(), outer());
    return table;
  }
  // Segment `index` of `count`, from nothing.
  Bytes Expected(const Bytes& payload, uint16_t mss, uint8_t flags, size_t index,
                 uint32_t source_port) const {
    const size_t at = index * mss, bytes = std::min<size_t>(mss, payload.size() - at);
    const bool last = at + bytes == payload.size();
    uint8_t own = flags;
    if (index != 0) own = static_cast<uint8_t>(own & ~0x80);
    if (!last) own = static_cast<uint8_t>(own & ~0x09);
    const uint8_t ttl = GetParam().encapsulated && !vxlan() ? 63 : 64;
    const Bytes ip = Ip(static_cast<uint16_t>(100 + index), ttl,
                        L4(static_cast<uint32_t>(at), own, Cut(payload, at, bytes)));
    if (!GetParam().encapsulated) return Frame(ip);
    const Address from = Underlay(1, outer()), to = Underlay(2, outer());
    Bytes udp = Udp(from, to, source_port, 8472, vxlan() ? Vxlan(1, Frame(ip)) : ip);
    if (outer() == 4) Set16(udp, 6, 0);
    return Ethernet(NicMac(2), NicMac(1), EtherType(from), IpPacket({from, to, 17, 2}, udp));
  }
};

TEST_P(Segments, EachSegmentEqualsTheOneBuiltFromNothing) {
  Node node(Table(), Format(), 65536 + 2048, 160);
  for (const size_t payload_bytes :
       {size_t{1}, size_t{999}, size_t{1000}, size_t{1001}, size_t{5000}, size_t{63333}}) {
    for (const uint8_t flags : {0x10, 0x19, 0x90}) {
      const Bytes payload = Pattern(payload_bytes, flags);
      pkt::Packet* packet = Super(node, payload, 1000, flags);
      if (GetParam().encapsulated) {
        node.Encap(packet);
        ASSERT_EQ(node.forward.packets.size(), 1u);
        node.given_back_segments += node.forward.segments();
        node.forward.packets.clear();
      }
      const uint32_t source_port = static_cast<uint32_t>(packet->data[outer() == 4 ? 34 : 54] << 8 |
                                                         packet->data[outer() == 4 ? 35 : 55]);
      Collector made;
      path::Segment(packet, *node.pool, made.box, node.counters);
      made.box.Flush();
      ASSERT_EQ(made.packets.size(), (payload_bytes + 999) / 1000);
      for (size_t i = 0; i < made.packets.size(); ++i) {
        const pkt::Packet& piece = *made.packets[i];
        ASSERT_EQ(Hex(BytesOf(piece)), Hex(Expected(payload, 1000, flags, i, source_port)))
            << "segment " << i;
        EXPECT_EQ(piece.gso, pkt::Gso::kNone);
        EXPECT_EQ(piece.checksum, pkt::Checksum::kUnknown);
        EXPECT_EQ(piece.segments, 1);
      }
      for (pkt::Packet* piece : made.packets) pkt::Give(piece);
    }
  }
  EXPECT_EQ(node.AllDrops(), 0u);
}

TEST_P(Segments, MissingFramesAreCountedAsTheSegmentsTheyWouldHaveHeld) {
  if (GetParam().encapsulated) return;
  Node node(Table(), Format(), 65536 + 2048, 5);
  pkt::Packet* packet = Super(node, Pattern(10000), 1000, 0x10);
  packet->segments = 10;
  Collector made;
  path::Segment(packet, *node.pool, made.box, node.counters);
  made.box.Flush();
  EXPECT_EQ(made.packets.size(), 4u);
  EXPECT_EQ(node.Drops(DropReason::kNoFrame), 6u);
  for (pkt::Packet* piece : made.packets) pkt::Give(piece);
}

TEST_P(Segments, HeadersThatContradictTheMetadataAreRefused) {
  if (GetParam().encapsulated) return;
  Node node(Table(), Format(), 8192, 8);
  Collector made;
  const auto refused = [&](auto spoil) {
    pkt::Packet* packet = Super(node, Pattern(3000), 1000, 0x10);
    packet->segments = 3;
    spoil(*packet);
    const uint64_t before = node.Drops(DropReason::kRxTruncated);
    path::Segment(packet, *node.pool, made.box, node.counters);
    made.box.Flush();
    EXPECT_EQ(node.Drops(DropReason::kRxTruncated), before + 3);
    EXPECT_TRUE(made.packets.empty());
  };
  refused([](pkt::Packet& packet) { packet.gso_size = 0; });
  refused([](pkt::Packet& packet) { packet.csum_start += 2; });
  refused([](pkt::Packet& packet) { packet.len = 40; });
  refused([&](pkt::Packet& packet) { packet.data[14 + (inner() == 4 ? 9 : 6)] = 50; });
  if (GetParam().tcp) refused([&](pkt::Packet& packet) { packet.data[14 + l4() + 12] = 0x40; });
}

TEST_P(Segments, ASuperPacketTooLongForTheOuterLengthIsSplitNotLost) {
  if (!GetParam().encapsulated) return;
  Node node(Table(), Format(), 65536 + 2048, 8);
  const size_t payload_bytes =
      65535 - l4() - l4_header();  // The longest an inner IP packet can be.
  pkt::Packet* packet = Super(node, Pattern(payload_bytes), 1000, 0x10);
  node.Encap(packet);
  ASSERT_EQ(node.forward.packets.size(), 2u);
  EXPECT_EQ(node.forward.segments(), (payload_bytes + 999) / 1000);
  EXPECT_EQ(node.counters.rx_packets.Read(), (payload_bytes + 999) / 1000);
  size_t index = 0;
  Collector made;
  for (pkt::Packet* part : node.forward.packets) {
    node.given_back_segments += part->segments;
    EXPECT_LE(part->len - 14, 65535u);
    if (part->super_packet()) {
      path::Segment(part, *node.pool, made.box, node.counters);
    } else {
      made.box.Push(part);
    }
    made.box.Flush();
    break;  // Five frames are not enough for all; the first few prove the headers.
  }
  const uint32_t source_port =
      static_cast<uint32_t>(made.packets[0]->data[outer() == 4 ? 34 : 54] << 8 |
                            made.packets[0]->data[outer() == 4 ? 35 : 55]);
  for (pkt::Packet* piece : made.packets) {
    EXPECT_EQ(Hex(BytesOf(*piece)),
              Hex(Expected(Pattern(payload_bytes), 1000, 0x10, index++, source_port)));
    pkt::Give(piece);
  }
  pkt::Give(node.forward.packets[1]);
  node.forward.packets.clear();
}

TEST_P(Segments, FillChecksumMakesAPartialPacketEqualToAWholeOne) {
  if (GetParam().encapsulated) return;
  Node node(Table(), Format());
  for (const size_t bytes : {0u, 1u, 8u, 31u, 32u, 33u, 999u}) {
    pkt::Packet* packet = Super(node, Pattern(bytes), 1000, 0x10);
    packet->gso = pkt::Gso::kNone;
    path::FillChecksum(packet);
    EXPECT_EQ(Hex(BytesOf(*packet)), Hex(Frame(Ip(100, 64, L4(0, 0x10, Pattern(bytes))))));
    EXPECT_EQ(packet->checksum, pkt::Checksum::kUnknown);
    pkt::Give(packet);
  }
}

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int inner : {4, 6}) {
    for (const bool tcp : {true, false}) {
      shapes.push_back({fwd::Encapsulation::kVxlan, 4, inner, tcp, false});
      for (const int outer : {4, 6}) {
        for (const auto encapsulation : {fwd::Encapsulation::kVxlan, fwd::Encapsulation::kUdp})
          shapes.push_back({encapsulation, outer, inner, tcp, true});
      }
    }
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(All, Segments, ::testing::ValuesIn(Shapes()), [](const auto& info) {
  const Shape& shape = info.param;
  const std::string l4 = shape.tcp ? "Tcp" : "Udp";
  const std::string inner = l4 + "Ipv" + std::to_string(shape.inner);
  if (!shape.encapsulated) return "Plain" + inner;
  return (shape.encapsulation == fwd::Encapsulation::kVxlan ? "Vxlan" : "FlannelUdp") +
         std::string("OverIpv") + std::to_string(shape.outer) + inner;
});

}  // namespace
