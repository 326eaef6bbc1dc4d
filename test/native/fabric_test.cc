// Networks of a fabric in memory, with its real worker thread: sorting by VNI, the way up to the
// program and back, verdicts on flows. The test thread is the program: it holds the far ends.
#include "library/fabric.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "library/open_port.h"
#include "table_builder.h"

namespace library {
namespace {

using frames::Bytes;
using Punt = NetworkOptions::Punt;
using testing_node::Pod;
using testing_node::TableBuilder;
using testing_node::Underlay;
using testing_node::VtepMac;

constexpr auto kPatience = std::chrono::seconds(30);

template <typename Condition>
bool Eventually(Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

fwd::Format FormatOf(uint32_t vni, bool bridged = false) {
  fwd::Format format;
  format.vni = vni;
  format.port = 4789;
  format.bridged = bridged;
  return format;
}

Bytes Datagram(int from, int to, uint16_t port = 53) {
  const frames::Ip ip{.from = Pod(from, 4), .to = Pod(to, 4)};
  return frames::Ethernet(
      VtepMac(to), VtepMac(from), 0x0800,
      frames::IpPacket(ip, frames::Udp(ip.from, ip.to, 1000, port, frames::Pattern(64))));
}

// The program's ends of a fabric: the wire, and of each network the inside and the punts.
struct Program {
  struct Ends {
    Network* network = nullptr;
    std::unique_ptr<Exchange> inside, punts;
  };
  std::unique_ptr<Exchange> wire;
  std::unique_ptr<Fabric> fabric;

  Program() {
    auto pair = OpenMemoryPair("wire", 2048, 256);
    wire = std::make_unique<Exchange>(std::move(pair->first), false);
    fabric = std::move(Fabric::Create(std::move(pair->second))).value();
  }
  Ends Add(const NetworkOptions& options, uint32_t queue = 64) {
    auto inside = OpenMemoryPair("inside", 2048, 256);
    auto punts = OpenMemoryPair("punts", 2048, queue);
    Ends ends;
    ends.inside = std::make_unique<Exchange>(std::move(inside->first), false);
    ends.punts = std::make_unique<Exchange>(std::move(punts->first), false);
    auto added =
        fabric->Add(options, std::move(inside->second),
                    options.punt == Punt::kNothing ? OpenedPort{} : std::move(punts->second));
    EXPECT_TRUE(added.ok());
    ends.network = *added;
    return ends;
  }
  static void Send(Exchange& through, const Bytes& frame, uint32_t count = 1) {
    ASSERT_EQ(through.Allocate(count), count);
    for (uint32_t i = 0; i < count; ++i) {
      std::memcpy(through.arena() + through.descriptors()[i].offset, frame.data(), frame.size());
      through.descriptors()[i].length = static_cast<uint32_t>(frame.size());
    }
    through.Send(through);
  }
  static bool Receives(Exchange& from, uint32_t wanted) {
    uint32_t seen = 0;
    return Eventually([&] { return (seen += from.Receive(64)) >= wanted; }) && seen == wanted;
  }
};

uint64_t Read(const Network& network, const std::string& name) {
  const std::vector<std::string>& names = Network::CounterNames();
  std::vector<uint64_t> values(names.size());
  network.ReadCounters(values.data());
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return values[i];
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

base::Status Apply(Network& network, std::initializer_list<int> peers) {
  TableBuilder table(1);
  for (const int peer : peers) table.AddPeer(peer, 4, 4);
  return network.Apply(table.Flat());
}

NetworkOptions Routed(uint32_t vni, Punt punt = Punt::kNothing) {
  NetworkOptions options;
  options.format = FormatOf(vni);
  options.punt = punt;
  return options;
}

TEST(FabricTest, KeepsTheNetworksOnOneUnderlayApart) {
  Program program;
  auto blue = program.Add(Routed(1)), red = program.Add(Routed(2));
  for (auto* ends : {&blue, &red}) ASSERT_TRUE(Apply(*ends->network, {2}).ok());
  Program::Send(*blue.inside, Datagram(1, 2), 10);
  Program::Send(*red.inside, Datagram(1, 2), 20);
  uint32_t of[3] = {};
  ASSERT_TRUE(Eventually([&] {
    for (uint32_t i = 0, count = program.wire->Receive(64); i < count; ++i) {
      const uint8_t* vni = program.wire->arena() + program.wire->descriptors()[i].offset + 46;
      ++of[vni[2] < 3 ? vni[2] : 0];
    }
    return of[0] + of[1] + of[2] == 30;
  }));
  EXPECT_EQ(of[1], 10u);
  EXPECT_EQ(of[2], 20u);
}

TEST(FabricTest, CountsWhatBelongsToNoNetwork) {
  Program program;
  auto one = program.Add(Routed(1));
  ASSERT_TRUE(Apply(*one.network, {2}).ok());
  const frames::Ip outer{.from = Underlay(2, 4), .to = Underlay(1, 4)};
  auto wrapped = [&](uint32_t vni) {
    return frames::Ethernet(
        testing_node::NicMac(1), testing_node::NicMac(2), 0x0800,
        frames::IpPacket(outer, frames::Udp(outer.from, outer.to, 50000, 4789,
                                            frames::Vxlan(vni, Datagram(2, 1)))));
  };
  Program::Send(*program.wire, wrapped(1));
  Program::Send(*program.wire, wrapped(77));
  Program::Send(*program.wire, Bytes(60));
  EXPECT_TRUE(Program::Receives(*one.inside, 1));
  EXPECT_TRUE(Eventually([&] { return program.fabric->strays().rx_packets.Read() == 2; }));
}

TEST(FabricTest, PuntsWhatNobodyHoldsAndCarriesItOnceTheProgramKnows) {
  Program program;
  auto one = program.Add(Routed(1, Punt::kUnknownDestinations));
  for (int peer = 2; peer < 60; ++peer) {
    Program::Send(*one.inside, Datagram(1, peer));
    if (peer == 2) {
      ASSERT_TRUE(Eventually([&] { return Read(*one.network, "encap.drop.no_table") == 1; }));
      ASSERT_TRUE(Apply(*one.network, {}).ok());
      continue;
    }
    ASSERT_TRUE(Eventually([&] { return one.punts->Receive(64) == 1; }));
    ASSERT_TRUE(Apply(*one.network, {peer}).ok());
    EXPECT_EQ(one.punts->Send(*one.punts), 1u);
    ASSERT_TRUE(Program::Receives(*program.wire, 1)) << "the table before it is in force for it";
  }
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "punt.tx_packets") == 57; }));
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "encap.punts") == 57; }));
}

TEST(FabricTest, DropsAndCountsWhatTheProgramIsTooSlowFor) {
  Program program;
  auto one = program.Add(Routed(1, Punt::kUnknownDestinations), 8);
  ASSERT_TRUE(Apply(*one.network, {}).ok());
  Program::Send(*one.inside, Datagram(1, 9), 50);
  // Counted after they are sent: the worker is ahead of its counters.
  ASSERT_TRUE(Eventually([&] { return Read(*one.network, "punt.drop.tx_full") == 42; }));
  EXPECT_EQ(Read(*one.network, "punt.rx_packets"), 50u);
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "punt.tx_packets") == 8; }));
  one.punts.reset();  // A program that gave its end up.
  Program::Send(*one.inside, Datagram(1, 9), 5);
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "punt.drop.tx_full") == 47; }));
}

TEST(FabricTest, AsksOnceAboutAFlowAndThenFollowsTheVerdict) {
  Program program;
  auto one = program.Add(Routed(1, Punt::kUnknownFlows));
  ASSERT_TRUE(Apply(*one.network, {2}).ok());
  for (uint16_t port = 1; port <= 100; ++port) {
    const Bytes frame = Datagram(1, 2, port);
    Program::Send(*one.inside, frame);
    ASSERT_TRUE(Eventually([&] { return one.punts->Receive(64) == 1; }));
    const bool allowed = port % 2 == 0;
    ASSERT_TRUE(
        one.network->Decide(frame, allowed ? fwd::FlowVerdict::kAllow : fwd::FlowVerdict::kDeny));
    Program::Send(*one.inside, frame, 3);
    if (allowed) ASSERT_TRUE(Program::Receives(*program.wire, 3));
  }
  ASSERT_TRUE(Eventually([&] { return Read(*one.network, "encap.drop.denied") == 150; }));
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "encap.punts") == 100; }));
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "encap.tx_packets") == 150; }));
  EXPECT_TRUE(Eventually([&] { return Read(*one.network, "encap.rx_packets") == 400; }));
  EXPECT_FALSE(one.network->Decide(Bytes(13), fwd::FlowVerdict::kAllow));
}

TEST(FabricTest, MayLoseNetworksWhileOthersCarry) {
  Program program;
  auto stays = program.Add(Routed(1));
  ASSERT_TRUE(Apply(*stays.network, {2}).ok());
  for (uint32_t round = 0; round < 20; ++round) {
    NetworkOptions bridged;
    bridged.format = FormatOf(100 + round, true);
    bridged.punt = Punt::kUnknownDestinations;
    auto goes = program.Add(bridged);
    ASSERT_TRUE(goes.network->Apply(TableBuilder(1).Flat()).ok());
    Program::Send(*goes.inside, Datagram(1, 3));
    ASSERT_TRUE(Eventually([&] { return goes.punts->Receive(64) == 1; }));
    Program::Send(*stays.inside, Datagram(1, 2));
    program.fabric->ReadFdb(*goes.network);
    program.fabric->Remove(goes.network);
    ASSERT_TRUE(Program::Receives(*program.wire, 1));
  }
}

}  // namespace
}  // namespace library
