// Coalescing: what merges, what must not, and that segmentation brings back exactly what came in.
#include "path/coalesce.h"

#include <map>
#include <random>

#include "node.h"
#include "path/segment.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

// One packet as a test describes it.
struct One {
  Ip ip{Pod(2, 4), Pod(1, 4), 6, 0, 63, 100, 0x4000};
  Tcp tcp;
  Bytes payload = Pattern(1000);
  bool udp = false;
  Mac from = VtepMac(2);

  Bytes Frame() const {
    const Bytes l4 = udp ? Udp(ip.from, ip.to, tcp.source, tcp.destination, payload)
                         : TcpSegment(ip.from, ip.to, tcp, payload);
    Ip whole = ip;
    whole.protocol = udp ? 17 : 6;
    return Ethernet(VtepMac(1), from, EtherType(ip.from), IpPacket(whole, l4));
  }
};

class Coalescing : public ::testing::TestWithParam<int> {
 protected:
  Coalescing()
      : node_(TableBuilder(1), {}, 65536 + 2048, 80),
        small_(std::move(pkt::FramePool::Create(256, 2048)).value()) {}
  ~Coalescing() override {
    Release();
    EXPECT_EQ(small_->available(), 256u);
  }
  int family() const { return GetParam(); }

  One Base() const {
    One one;
    one.ip.from = Pod(2, family());
    one.ip.to = Pod(1, family());
    one.tcp.options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
    return one;
  }
  // A run of `count` segments of one flow.
  std::vector<One> Run(int count, size_t bytes = 1000) const {
    std::vector<One> made;
    for (int i = 0; i < count; ++i) {
      One one = Base();
      one.payload = Pattern(bytes, static_cast<uint32_t>(i + 1));
      one.tcp.sequence = 0xfffffc00u + static_cast<uint32_t>(i) * static_cast<uint32_t>(bytes);
      one.ip.id = static_cast<uint16_t>(100 + i);
      made.push_back(one);
    }
    return made;
  }
  void Feed(const std::vector<One>& packets, bool udp = true) {
    std::vector<Bytes> frames;
    for (const One& one : packets) frames.push_back(one.Frame());
    FeedFrames(frames, udp);
  }
  void FeedFrames(const std::vector<Bytes>& frames, bool udp = true) {
    FeedFrames(frames, {.udp = udp}, pkt::Checksum::kUnknown);
  }
  void FeedFrames(const std::vector<Bytes>& frames, path::CoalesceRules rules,
                  pkt::Checksum checksum) {
    pkt::Batch batch;
    for (const Bytes& frame : frames) {
      pkt::Packet* packet = small_->Take();
      std::memcpy(packet->data, frame.data(), frame.size());
      packet->len = static_cast<uint32_t>(frame.size());
      packet->checksum = checksum;
      batch.Push(packet);
    }
    path::Coalesce(batch, *node_.pool, out_.box, node_.counters, rules);
    EXPECT_EQ(batch.count, 0u);
    out_.box.Flush();
    EXPECT_EQ(out_.segments() + node_.AllDrops(), frames.size() + drops_before_);
  }
  // How many packets each outgoing one stands for, in order.
  std::vector<int> Counts() const {
    std::vector<int> counts;
    for (const pkt::Packet* packet : out_.packets) counts.push_back(packet->segments);
    return counts;
  }
  void Release() {
    for (pkt::Packet* packet : out_.packets) pkt::Give(packet);
    out_.packets.clear();
    drops_before_ = node_.AllDrops();
  }
  void Expect(const std::vector<One>& packets, const std::vector<int>& counts) {
    Feed(packets);
    EXPECT_EQ(Counts(), counts);
    Release();
  }

  Node node_;
  std::unique_ptr<pkt::FramePool> small_;
  Collector out_;
  uint64_t drops_before_ = 0;
};

TEST_P(Coalescing, ARunOfSegmentsBecomesOneSuperPacketWithTheRightHeaders) {
  std::vector<One> run = Run(5);
  run.back().payload = Pattern(300, 9);
  run.back().tcp.flags = 0x18;
  Feed(run);
  ASSERT_EQ(Counts(), std::vector<int>{5});
  const pkt::Packet& packet = *out_.packets[0];
  EXPECT_EQ(packet.gso, family() == 4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6);
  EXPECT_EQ(packet.gso_size, 1000);
  EXPECT_EQ(packet.checksum, pkt::Checksum::kPartial);
  const uint32_t l4 = 14 + (family() == 4 ? 20 : 40);
  EXPECT_EQ(packet.csum_start, l4);
  EXPECT_EQ(packet.csum_offset, 16);
  One whole = run[0];
  whole.payload.clear();
  for (const One& one : run) Put(whole.payload, one.payload);
  whole.tcp.flags = 0x18;
  Bytes expected = whole.Frame();
  Set16(expected, l4 + 16,
        PseudoSum(whole.ip.from, whole.ip.to, 6, static_cast<uint32_t>(expected.size()) - l4));
  EXPECT_EQ(Hex(BytesOf(packet)), Hex(expected));
}

TEST_P(Coalescing, ALonePacketPassesUntouchedInItsOwnFrame) {
  Feed(Run(1));
  ASSERT_EQ(out_.packets.size(), 1u);
  EXPECT_EQ(out_.packets[0]->pool, small_.get());
  EXPECT_EQ(Hex(BytesOf(*out_.packets[0])), Hex(Run(1)[0].Frame()));
}

TEST_P(Coalescing, GapsDuplicatesAndReorderingEndARun) {
  std::vector<One> run = Run(6);
  Expect({run[0], run[1], run[3], run[4]}, {2, 2});
  Expect({run[0], run[1], run[1], run[2]}, {2, 2});
  Expect({run[0], run[2], run[1], run[3]}, {1, 1, 1, 1});
}

TEST_P(Coalescing, PushAndAShorterSegmentCloseARun) {
  std::vector<One> run = Run(4);
  run[1].tcp.flags = 0x18;
  Expect(run, {2, 2});
  run = Run(4);
  run[2].payload.resize(10);
  run[3].tcp.sequence = run[2].tcp.sequence + 10;
  Expect(run, {3, 1});
  run = Run(3);
  run[1].payload = Pattern(1001);
  Expect(run, {1, 1, 1});
}

TEST_P(Coalescing, AnyOtherFlagOrAnEmptySegmentStaysAloneAndKeepsItsPlace) {
  for (const uint8_t flags : {0x00, 0x11, 0x12, 0x14, 0x30, 0x50, 0x90}) {
    std::vector<One> run = Run(5);
    run[2].tcp.flags = flags;
    Expect(run, {2, 1, 2});
  }
  std::vector<One> run = Run(4);
  One empty = run[1];
  empty.payload.clear();
  Expect({run[0], run[1], empty, run[2], run[3]}, {2, 1, 2});
}

TEST_P(Coalescing, DifferentHeadersDoNotMerge) {
  const auto differs = [&](auto change) {
    std::vector<One> run = Run(2);
    change(run[1]);
    Expect(run, {1, 1});
  };
  differs([](One& one) { one.tcp.acknowledgment++; });
  differs([](One& one) { one.tcp.options[11]++; });
  differs([](One& one) { one.tcp.options = {1, 1, 1, 1, 1, 1, 1, 1}; });
  differs([](One& one) { one.ip.tos = 1; });
  differs([](One& one) { one.ip.tos = 0x80; });
  differs([](One& one) { one.ip.ttl--; });
  differs([](One& one) { one.tcp.source++; });
  differs([&](One& one) { one.ip.from = Pod(2, family(), 6); });
  differs([](One& one) { one.from = VtepMac(3); });
  if (family() == 4) differs([](One& one) { one.ip.fragment = 0; });
}

TEST_P(Coalescing, WithoutDfTheIdsMustCountUp) {
  if (family() == 6) return;
  std::vector<One> run = Run(3);
  for (One& one : run) one.ip.fragment = 0;
  Expect(run, {3});
  run[2].ip.id++;
  Expect(run, {2, 1});
  for (One& one : run) one.ip.fragment = 0x2000;
  Expect(run, {1, 1, 1});
}

TEST_P(Coalescing, InterleavedFlowsMergeEachForItself) {
  const std::vector<One> a = Run(4);
  std::vector<One> b = Run(4), mixed;
  for (int i = 0; i < 4; ++i) {
    b[i].tcp.source = 50000;
    mixed.push_back(a[i]);
    mixed.push_back(b[i]);
  }
  Expect(mixed, {4, 4});
}

TEST_P(Coalescing, ADamagedSegmentIsDroppedNotHidden) {
  const std::vector<One> run = Run(4);
  for (int damaged = 0; damaged < 4; ++damaged) {
    std::vector<Bytes> frames;
    for (const One& one : run) frames.push_back(one.Frame());
    frames[damaged].back() ^= 0x10;
    const uint64_t before = node_.Drops(DropReason::kInnerChecksum);
    FeedFrames(frames);
    EXPECT_EQ(node_.Drops(DropReason::kInnerChecksum), before + 1);
    for (const pkt::Packet* packet : out_.packets) EXPECT_LT(packet->segments, 4);
    Release();
  }
  // Alone it hides nothing: the receiving host refuses it itself.
  std::vector<Bytes> lone = {run[0].Frame()};
  lone[0].back() ^= 0x10;
  FeedFrames(lone);
  EXPECT_EQ(Counts(), std::vector<int>{1});
}

TEST_P(Coalescing, UdpDatagramsOfEqualSizeMergeAndAShorterOneEndsTheRun) {
  std::vector<One> run = Run(5, 500);
  for (One& one : run) one.udp = true;
  Expect(run, {5});
  run[2].payload.resize(20);
  Expect(run, {3, 2});
  Feed(run, false);
  EXPECT_EQ(Counts(), (std::vector<int>{1, 1, 1, 1, 1}));
  Release();
  if (family() == 6) return;
  std::vector<Bytes> frames;
  for (const One& one : Run(2, 500)) {
    One udp = one;
    udp.udp = true;
    frames.push_back(udp.Frame());
    Set16(frames.back(), 14 + 20 + 6,
          0);  // Sent without a checksum: segmentation would give it one.
  }
  FeedFrames(frames);
  EXPECT_EQ(Counts(), (std::vector<int>{1, 1}));
}

TEST_P(Coalescing, BeforeEncapsulationOnlyWhatSomebodyVouchesForMergesAndNothingIsJudged) {
  std::vector<Bytes> frames;
  for (One& one : Run(3, 100)) {
    one.udp = true;
    frames.push_back(one.Frame());
    frames.back().back() ^= 1;  // Damaged, and its checksum tells.
  }
  FeedFrames(frames, {.verify = false}, pkt::Checksum::kUnknown);
  EXPECT_EQ(Counts(), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(BytesOf(*out_.packets[2]), frames[2]);
  Release();
  for (const pkt::Checksum trusted : {pkt::Checksum::kPartial, pkt::Checksum::kVerified}) {
    FeedFrames(frames, {.verify = false}, trusted);
    EXPECT_EQ(Counts(), std::vector<int>{3});
    Release();
  }
}

TEST_P(Coalescing, ASuperPacketNeverOutgrowsAnIpPacket) { Expect(Run(64, 1400), {46, 18}); }

TEST_P(Coalescing, WithoutABigFrameEverythingPassesAsItCame) {
  std::vector<pkt::Packet*> taken;
  while (pkt::Packet* packet = node_.pool->Take()) taken.push_back(packet);
  Expect(Run(4), {1, 1, 1, 1});
  for (pkt::Packet* packet : taken) pkt::Give(packet);
}

// Random traffic of a few flows, with every kind of disturbance. Whatever coalescing makes of it,
// segmentation must bring each flow back byte for byte and in order.
TEST_P(Coalescing, SegmentingWhatWasCoalescedGivesBackWhatCameIn) {
  std::mt19937 random(family());
  const auto chance = [&](uint32_t one_in) { return random() % one_in == 0; };
  uint64_t merged = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<One> flows;
    for (uint16_t i = 0; i < 3; ++i) {
      One one = Base();
      one.tcp.source = static_cast<uint16_t>(1000 + i);
      one.udp = i == 2;
      one.ip.fragment = chance(3) ? 0 : 0x4000;
      one.payload.resize(100 + random() % 1200);
      flows.push_back(one);
    }
    std::vector<Bytes> frames;
    for (int i = 0; i < 64; ++i) {
      One& flow = flows[random() % flows.size()];
      One one = flow;
      one.payload =
          Pattern(chance(8) ? 1 + random() % flow.payload.size() : flow.payload.size(), random());
      if (chance(10)) one.tcp.flags |= 0x08;
      if (chance(20)) one.tcp.flags = static_cast<uint8_t>(random());
      if (chance(20)) one.ip.tos = static_cast<uint8_t>(random());
      if (chance(30)) one.tcp.sequence += random() % 5;
      if (chance(20)) flow.tcp.acknowledgment += 7;
      frames.push_back(one.Frame());
      if (!chance(15))
        flow.tcp.sequence = one.tcp.sequence + static_cast<uint32_t>(one.payload.size());
      if (!chance(15)) flow.ip.id++;
    }
    FeedFrames(frames);
    Collector pieces;
    for (pkt::Packet* packet : out_.packets) {
      merged += packet->segments > 1;
      packet->super_packet() ? path::Segment(packet, *node_.pool, pieces.box, node_.counters)
                             : pieces.box.Push(packet);
    }
    pieces.box.Flush();
    out_.packets.clear();
    EXPECT_EQ(node_.AllDrops(), 0u);
    const auto by_flow = [&](const Bytes& frame) {
      Bytes copy = frame;
      const size_t l4 = family() == 4 ? 34 : 54;
      if (family() == 4 &&
          (frame[20] & 0x40) != 0) {  // With DF the id has no meaning and may change.
        Set16(copy, 18, 0);
        Set16(copy, 24, 0);
      }
      return std::pair{Get16(frame, l4), Hex(copy)};
    };
    std::map<uint32_t, std::vector<std::string>> sent, received;
    for (const Bytes& frame : frames) sent[by_flow(frame).first].push_back(by_flow(frame).second);
    for (pkt::Packet* packet : pieces.packets) {
      const Bytes frame = BytesOf(*packet);
      received[by_flow(frame).first].push_back(by_flow(frame).second);
      pkt::Give(packet);
    }
    ASSERT_EQ(sent, received) << "round " << round;
  }
  EXPECT_GT(merged, 250u);
}

INSTANTIATE_TEST_SUITE_P(Families, Coalescing, ::testing::Values(4, 6),
                         [](const auto& info) { return "Ipv" + std::to_string(info.param); });

}  // namespace
