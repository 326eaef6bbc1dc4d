// Which frames are of one flow, and what a table of verdicts forgets.
#include "fwd/flow_table.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "path/flow_key.h"

namespace {

using frames::Bytes;

fwd::FlowKey KeyOf(const Bytes& frame) {
  fwd::FlowKey key;
  path::IpView view;
  EXPECT_TRUE(path::ReadFlow(frame.data(), static_cast<uint32_t>(frame.size()), &key, &view));
  return key;
}

Bytes Frame(const frames::Ip& ip, uint16_t source, uint16_t destination, size_t payload = 40) {
  return frames::Ethernet({2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, frames::EtherType(ip.from),
                          frames::IpPacket(ip, frames::Udp(ip.from, ip.to, source, destination,
                                                           frames::Pattern(payload))));
}

struct Ends {
  frames::Address a, b;
};

TEST(FlowKeyTest, IsAddressesProtocolAndPortsAndNothingElse) {
  for (const Ends& ends : {Ends{frames::V4(10, 0, 0, 1), frames::V4(10, 0, 0, 2)},
                           Ends{frames::V6(1, 1), frames::V6(2, 2)}}) {
    const frames::Ip ip{.from = ends.a, .to = ends.b};
    frames::Ip marked = ip;
    marked.tos = 3, marked.ttl = 7, marked.id = 99;
    const fwd::FlowKey key = KeyOf(Frame(ip, 1000, 53));
    EXPECT_EQ(key, KeyOf(Frame(marked, 1000, 53, 500)));
    EXPECT_NE(key, KeyOf(Frame(ip, 1001, 53)));
    EXPECT_NE(key, KeyOf(Frame(ip, 1000, 54)));
    EXPECT_NE(key, KeyOf(Frame({.from = ends.b, .to = ends.a}, 1000, 53)));
    frames::Ip tcp = ip;
    tcp.protocol = 6;
    EXPECT_NE(key, KeyOf(Frame(tcp, 1000, 53)));
  }
}

TEST(FlowKeyTest, HoldsFragmentsTogether) {
  const frames::Ip whole{.from = frames::V4(10, 0, 0, 1), .to = frames::V4(10, 0, 0, 2)};
  frames::Ip first = whole, later = whole;
  first.fragment = 0x2000, later.fragment = 0x2010;
  EXPECT_EQ(KeyOf(Frame(first, 1, 2)), KeyOf(Frame(later, 3, 4)));
  EXPECT_NE(KeyOf(Frame(first, 1, 2)), KeyOf(Frame(whole, 1, 2)));
}

TEST(FlowKeyTest, OfWhatIsNotIpIsItsStationsAndType) {
  auto arp = [](uint8_t to, uint8_t from, uint32_t type, uint8_t fill) {
    return frames::Ethernet({2, 0, 0, 0, 0, to}, {2, 0, 0, 0, 0, from}, type, Bytes(46, fill));
  };
  EXPECT_EQ(KeyOf(arp(1, 2, 0x806, 0)), KeyOf(arp(1, 2, 0x806, 9)));
  EXPECT_NE(KeyOf(arp(1, 2, 0x806, 0)), KeyOf(arp(2, 1, 0x806, 0)));
  EXPECT_NE(KeyOf(arp(1, 2, 0x806, 0)), KeyOf(arp(1, 2, 0x88b5, 0)));
}

TEST(FlowKeyTest, RefusesWhatIsNoFrameOrNotTheIpItClaims) {
  const Bytes whole = Frame({.from = frames::V4(10, 0, 0, 1), .to = frames::V4(10, 0, 0, 2)}, 1, 2);
  fwd::FlowKey key;
  path::IpView view;
  for (uint32_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Bytes cut(whole.begin(), whole.begin() + bytes);
    EXPECT_FALSE(path::ReadFlow(cut.data(), bytes, &key, &view)) << bytes;
  }
}

TEST(FlowTableTest, RemembersWhatIsSeenAndForgetsTheIdle) {
  fwd::FlowTable flows(64, 1000, 5);
  const fwd::FlowKey key = {{1, 2, 3, 4, 5}};
  EXPECT_EQ(flows.See(key, 10), nullptr);
  EXPECT_EQ(flows.Learn(key, fwd::FlowVerdict::kAllow, 10), fwd::Learned::kNew);
  for (uint64_t now = 10; now < 10'000; now += 900)
    ASSERT_NE(flows.See(key, now), nullptr) << "seen again in time";
  EXPECT_EQ(flows.See(key, 20'000), nullptr);
  EXPECT_EQ(flows.Learn(key, fwd::FlowVerdict::kDeny, 20'000), fwd::Learned::kKnown);
  EXPECT_EQ(flows.Learn(key, fwd::FlowVerdict::kAllow, 20'001), fwd::Learned::kMoved);
  EXPECT_EQ(flows.See(key, 20'002)->value, fwd::FlowVerdict::kAllow);
}

TEST(FlowTableTest, TellsFlowsApartThatDifferInOneBit) {
  fwd::FlowTable flows(1024, 1'000'000, 7);
  const fwd::FlowKey base = {{0x0800'1104, 2, 0, 4, 0}};
  flows.Learn(base, fwd::FlowVerdict::kAllow, 1);
  for (uint32_t word = 0; word < 5; ++word) {
    for (uint32_t bit = 0; bit < 64; ++bit) {
      fwd::FlowKey other = base;
      other.words[word] ^= uint64_t{1} << bit;
      EXPECT_EQ(flows.Find(other, 2), nullptr);
    }
  }
  EXPECT_NE(flows.Find(base, 2), nullptr);
}

}  // namespace
