// The forwarding table: longest prefixes against a naive search, refusal of every wrong field,
// snapshots under load.
#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "fwd/publisher.h"
#include "net/checksum.h"
#include "net/ipv4.h"
#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;

TEST(Checksum, EqualsTheNaiveSumForEveryLengthAndAlignment) {
  const Bytes bytes = Pattern(700);
  for (size_t at = 0; at < 8; ++at) {
    for (size_t length = 0; length < 600; ++length) {
      const uint16_t sum = net::Fold(net::Sum(bytes.data() + at, length));
      ASSERT_EQ(base::SwapBytes(sum), Ones(Cut(bytes, at, length))) << at << " " << length;
    }
  }
}

TEST(Checksum, IncrementalUpdateEqualsFullComputation) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes ip = IpPacket({V4(10, 1, 2, 3), V4(10, 4, 5, 6), 17, static_cast<uint8_t>(random()),
                         static_cast<uint8_t>(random()), static_cast<uint16_t>(random())},
                        {});
    net::Ipv4::SetTos(ip.data(), static_cast<uint8_t>(random()));
    net::Ipv4::SetTtl(ip.data(), static_cast<uint8_t>(random()));
    net::Ipv4::SetTotalBytes(ip.data(), random() % 65536);
    ASSERT_EQ(Ones(ip), 0xffffu);
  }
}

TEST(LongestPrefix, Ipv4AgreesWithANaiveSearch) {
  std::mt19937 random(4);
  for (int round = 0; round < 20; ++round) {
    std::vector<fwd::Lpm4::Route> routes;
    for (uint32_t i = 0; i < 300; ++i) {
      const auto length = static_cast<uint8_t>(1 + random() % 32);
      const uint32_t mask = ~uint32_t{0} << (32 - length);
      routes.push_back(
          {(random() & 0x0103ffff) & mask, length, i});  // Few distinct top bits: deep nesting.
    }
    const fwd::Lpm4 table(routes);
    for (int probe = 0; probe < 5000; ++probe) {
      const uint32_t address = random() & 0x0103ffff;
      uint32_t expected = fwd::kNoPeer, best = 0;
      for (const auto& route : routes) {
        if ((address ^ route.address) >> (32 - route.length) == 0 && route.length >= best) {
          best = route.length;
          expected = route.value;
        }
      }
      ASSERT_EQ(table.Find(base::SwapBytes(address)), expected);
    }
  }
  EXPECT_EQ(fwd::Lpm4().Find(0), fwd::kNoPeer);
}

TEST(LongestPrefix, Ipv6AgreesWithANaiveSearch) {
  std::mt19937 random(6);
  const auto bit = [](const uint8_t* bytes, uint32_t at) {
    return bytes[at / 8] >> (7 - at % 8) & 1;
  };
  std::vector<fwd::Lpm6::Route> routes;
  for (uint32_t i = 0; i < 200; ++i) {
    fwd::Lpm6::Route route{{}, static_cast<uint8_t>(1 + random() % 128), i};
    for (uint8_t& byte : route.address) byte = static_cast<uint8_t>(random() & 0x11);
    for (uint32_t at = route.length; at < 128; ++at)
      route.address[at / 8] &= static_cast<uint8_t>(~(0x80 >> at % 8));
    bool listed = false;
    for (const auto& other : routes)
      listed |= other.length == route.length && other.address == route.address;
    if (!listed) routes.push_back(route);
  }
  const fwd::Lpm6 table(routes, 77);
  for (int probe = 0; probe < 20000; ++probe) {
    std::array<uint8_t, 16> address = routes[random() % routes.size()].address;
    if (probe % 2 != 0) address[random() % 16] ^= static_cast<uint8_t>(random() & 0x11);
    uint32_t expected = fwd::kNoPeer, best = 0;
    for (const auto& route : routes) {
      uint32_t same = 0;
      while (same < route.length && bit(address.data(), same) == bit(route.address.data(), same))
        ++same;
      if (same == route.length && route.length >= best) {
        best = route.length;
        expected = route.value;
      }
    }
    ASSERT_EQ(table.Find(address.data()), expected);
  }
}

struct Refusal {
  const char* field;
  std::function<void(TableBuilder&)> spoil;
};

// With one multiplication some salts laid MACs that count upwards in rows, five probes a search.
TEST(ExactMap, SpreadsKeysThatCountUpwardsWhateverTheSalt) {
  constexpr uint32_t kKeys = 10000, kSlots = 32768;
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const uint64_t salt = round == 0 ? 0x5bd1e9955bd1e995 : random();
    for (const uint32_t shift : {0u, 16u, 24u, 32u, 48u}) {
      std::vector<bool> taken(kSlots);
      uint32_t slots = 0;
      for (uint64_t key = 1; key <= kKeys; ++key) {
        auto slot = taken[fwd::HashKey(key << shift, salt) % kSlots];
        slots += slot ? 0 : 1;
        slot = true;
      }
      // At random 8,617 of them would stand alone or first; rows would leave far fewer.
      ASSERT_GT(slots, 8300u) << std::hex << salt << " << " << shift;
    }
  }
}

TEST(Snapshot, EachWrongFieldIsRefusedWithItsName) {
  const Refusal refusals[] = {
      {"magic", [](TableBuilder& t) { t.header.magic++; }},
      {"layout", [](TableBuilder& t) { t.header.layout = 9; }},
      {"reserved", [](TableBuilder& t) { t.header.reserved1[2] = 1; }},
      {"overlay_mtu", [](TableBuilder& t) { t.header.overlay_mtu = 67; }},
      {"underlay_v4", [](TableBuilder& t) { t.header.underlay_v4[9] = 1; }},
      {"underlay_v4", [](TableBuilder& t) { t.header.underlay_v4[0] = 224; }},
      {"local prefix 0", [](TableBuilder& t) { t.prefixes[0].family = 5; }},
      {"local prefix 0", [](TableBuilder& t) { t.prefixes[0].length = 33; }},
      {"local prefix 1", [](TableBuilder& t) { t.prefixes[1].length = 0; }},
      {"local prefix 0", [](TableBuilder& t) { t.prefixes[0].address[3] = 1; }},
      {"local prefix 1", [](TableBuilder& t) { t.prefixes[1] = t.prefixes[0]; }},
      {"local prefix 0", [](TableBuilder& t) { t.prefixes[0].reserved[0] = 1; }},
      {"flags", [](TableBuilder& t) { t.peers[0].flags = 2; }},
      {"reserved", [](TableBuilder& t) { t.peers[0].reserved[7] = 1; }},
      {"peer record 1: prefix", [](TableBuilder& t) { t.peers[1].prefix_length = 129; }},
      {"prefix", [](TableBuilder& t) { CopyAddress(t.peers[0].prefix, V4(127, 0, 0, 0).bytes); }},
      {"prefix", [](TableBuilder& t) { CopyAddress(t.peers[0].prefix, V4(169, 254, 3, 0).bytes); }},
      {"underlay_family", [](TableBuilder& t) { t.peers[0].underlay_family = 0; }},
      {"underlay", [](TableBuilder& t) { t.peers[0].underlay[5] = 1; }},
      {"underlay", [](TableBuilder& t) { std::memset(t.peers[0].underlay, 0, 16); }},
      {"own address",
       [](TableBuilder& t) { std::memcpy(t.peers[0].underlay, t.header.underlay_v4, 16); }},
      {"no underlay address", [](TableBuilder& t) { std::memset(t.header.underlay_v6, 0, 16); }},
      {"path_mtu", [](TableBuilder& t) { t.peers[0].path_mtu = 551; }},
      {"vtep_mac", [](TableBuilder& t) { std::memset(t.peers[0].vtep_mac, 0, 6); }},
      {"vtep_mac", [](TableBuilder& t) { t.peers[0].vtep_mac[0] |= 1; }},
      {"this node's own",
       [](TableBuilder& t) { std::memcpy(t.peers[0].vtep_mac, t.header.vtep_mac, 6); }},
      {"id", [](TableBuilder& t) { t.peers[1].id = t.peers[0].id; }},
      {"overlaps", [](TableBuilder& t) { CopyAddress(t.peers[0].prefix, Pod(1, 4, 0).bytes); }},
      {"overlaps",
       [](TableBuilder& t) {
         t.peers[0].prefix_length = 8;
         CopyAddress(t.peers[0].prefix, V4(10, 0, 0, 0).bytes);
       }},
      {"twice",
       [](TableBuilder& t) {
         auto copy = t.peers[0];
         copy.id = 5;
         t.peers.push_back(copy);
       }},
  };
  for (const Refusal& refusal : refusals) {
    TableBuilder table(1);
    table.AddPeer(2, 4, 4);
    table.AddPeer(3, 6, 6);
    ASSERT_TRUE(fwd::Snapshot::Build(table.Flat(), {}).ok());
    refusal.spoil(table);
    auto built = fwd::Snapshot::Build(table.Flat(), {});
    ASSERT_FALSE(built.ok()) << refusal.field;
    EXPECT_NE(built.error().detail.find(refusal.field), std::string::npos) << built.error().detail;
    EXPECT_EQ(built.error().code, "TABLE_INVALID");
  }
}

TEST(Snapshot, AMacOfTwoNodesIsRefusedWhereNoPrefixTellsThemApart) {
  TableBuilder table(1);
  for (const int node : {2, 3}) {
    fwd::PeerRecord& peer = table.AddPeer(node, 4, 4);
    peer.prefix_family = peer.prefix_length = 0;
    std::memset(peer.prefix, 0, sizeof peer.prefix);
    std::memcpy(peer.vtep_mac, VtepMac(2).data(), 6);
  }
  table.prefixes.clear();
  fwd::Format format;
  format.bridged = true;
  auto built = fwd::Snapshot::Build(table.Flat(), format);
  ASSERT_FALSE(built.ok());
  EXPECT_NE(built.error().detail.find("two public addresses"), std::string::npos);
  table.peers[1].vtep_mac[5] = 3;
  EXPECT_TRUE(fwd::Snapshot::Build(table.Flat(), format).ok());
}

TEST(Snapshot, EveryWrongLengthIsRefused) {
  TableBuilder table(1);
  table.AddPeer(2, 4, 4);
  Bytes flat = table.Flat();
  for (size_t bytes = 0; bytes < flat.size(); ++bytes)
    EXPECT_FALSE(fwd::Snapshot::Build(Cut(flat, 0, bytes), {}).ok());
  flat.push_back(0);
  EXPECT_FALSE(fwd::Snapshot::Build(flat, {}).ok());
}

TEST(Snapshot, RecordsOfOnePublicAddressAreOneNode) {
  TableBuilder table(1);
  table.AddPeer(2, 4, 4);
  table.AddPeer(3, 4, 4);
  table.AddPeer(2, 6, 4);
  const auto snapshot = table.Build({});
  EXPECT_EQ(snapshot->NodeOf(0), snapshot->NodeOf(2));
  EXPECT_NE(snapshot->NodeOf(0), snapshot->NodeOf(1));
  EXPECT_EQ(snapshot->FindUnderlay4(base::Load<uint32_t>(Underlay(2, 4).bytes.data())), 0u);
  EXPECT_EQ(snapshot->FindVtep(VtepMac(3).data(), net::kEtherTypeIpv4), 1u);
  EXPECT_EQ(snapshot->FindVtep(VtepMac(9).data(), net::kEtherTypeIpv4), fwd::kNoPeer);
}

TEST(Snapshot, ADualStackNodeHasOneMacAndAPublicAddressOfEachFamily) {
  TableBuilder table(1);
  table.AddPeer(2, 4, 4);
  table.AddPeer(3, 6, 6);
  table.AddPeer(2, 6, 6);
  const auto snapshot = table.Build({});
  EXPECT_EQ(snapshot->FindVtep(VtepMac(2).data(), net::kEtherTypeIpv4), 0u);
  EXPECT_EQ(snapshot->FindVtep(VtepMac(2).data(), net::kEtherTypeIpv6), 2u);
  EXPECT_EQ(snapshot->FindVtep(VtepMac(3).data(), net::kEtherTypeIpv4), fwd::kNoPeer);
  EXPECT_EQ(snapshot->peers()[0].inner_mtu, 1450);
  EXPECT_EQ(snapshot->peers()[2].inner_mtu, 1430);
  EXPECT_NE(snapshot->NodeOf(0), snapshot->NodeOf(2));
}

TEST(Snapshot, AMacThatSeveralNodesClaimIsNobodysInAnyOrder) {
  for (const int last : {4, 5}) {
    TableBuilder table(1);
    for (const int node : {2, 3, 9 - last, last}) {
      fwd::PeerRecord& peer = table.AddPeer(node, 4, 4);
      std::memcpy(peer.vtep_mac, VtepMac(node == 3 ? 3 : 2).data(), 6);
    }
    // Of another family, and another record of one node: nothing that is shared.
    table.AddPeer(2, 6, 6);
    table.AddPeer(3, 6, 4);
    fwd::PeerRecord& second = table.AddPeer(6, 4, 4);
    CopyAddress(second.underlay, Underlay(3, 4).bytes);
    std::memcpy(second.vtep_mac, VtepMac(3).data(), 6);
    const auto snapshot = table.Build({});
    EXPECT_EQ(snapshot->FindVtep(VtepMac(2).data(), net::kEtherTypeIpv4), fwd::kShared);
    EXPECT_EQ(snapshot->FindVtep(VtepMac(3).data(), net::kEtherTypeIpv4), 1u);
    EXPECT_EQ(snapshot->FindVtep(VtepMac(2).data(), net::kEtherTypeIpv6), 4u);
    EXPECT_EQ(snapshot->FindVtep(VtepMac(3).data(), net::kEtherTypeIpv6), 5u);
  }
}

TEST(Publisher, KeepsWhatAWorkerHoldsAndFreesItWhenItMovesOn) {
  fwd::Publisher publisher(2);
  EXPECT_EQ(publisher.Adopt(0), nullptr);
  publisher.Publish(TableBuilder(1).Build({}));
  const fwd::Snapshot* first = publisher.Adopt(0);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(publisher.Adopt(0), first);
  publisher.Publish(TableBuilder(1).Build({}));
  EXPECT_EQ(publisher.Reclaim(), 1u);
  EXPECT_EQ(first->version(), 7u);
  EXPECT_NE(publisher.Adopt(0), first);
  EXPECT_EQ(publisher.Reclaim(), 0u);
  publisher.Leave(0);
  publisher.Publish(TableBuilder(1).Build({}));
  EXPECT_EQ(publisher.Reclaim(), 0u);
}

TEST(Publisher, IsSettledOnceNoWorkerCarriesByWhatItSawBefore) {
  fwd::Publisher publisher(2);
  publisher.Adopt(0);
  publisher.Adopt(1);
  EXPECT_TRUE(publisher.Settled());
  publisher.Publish(TableBuilder(1).Build({}));
  EXPECT_FALSE(publisher.Settled());
  publisher.Leave(0);
  EXPECT_FALSE(publisher.Settled()) << "the other looked while there was no table";
  EXPECT_NE(publisher.Adopt(1), nullptr);
  EXPECT_TRUE(publisher.Settled());
}

// A thread sanitizer or an address sanitizer sees any snapshot that is freed too early.
TEST(Publisher, WorkersNeverSeeAFreedSnapshotWhileTablesAreReplaced) {
  constexpr uint32_t kWorkers = 2;
  fwd::Publisher publisher(kWorkers);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rounds{0};
  std::vector<std::thread> workers;
  const uint32_t address = base::Load<uint32_t>(Pod(2, 4).bytes.data());
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      for (uint64_t round = 0; !stop.load(std::memory_order_relaxed); ++round) {
        const fwd::Snapshot* table = publisher.Adopt(worker);
        if (table != nullptr) {
          const uint32_t peer = table->FindInner4(address);
          RS_ASSERT(peer < table->peers().size() && table->peers()[peer].id == 24);
        }
        if (round % 7 == 0) publisher.Leave(worker);
        rounds.fetch_add(1, std::memory_order_relaxed);
      }
      publisher.Leave(worker);
    });
  }
  TableBuilder table(1);
  table.AddPeer(2, 4, 4);
  for (int i = 0; i < 300 || rounds.load() < 3000; ++i) publisher.Publish(table.Build({}));
  stop = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(publisher.Reclaim(), 0u);
}

}  // namespace
