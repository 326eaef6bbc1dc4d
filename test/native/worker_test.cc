// Workers over memory ports: tables that are replaced under load, overload from both sides, rest,
// and the CPU they are bound to.
//   overlay end - memory port - worker - memory port - underlay end
#include "engine/worker.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <random>
#include <thread>

#include "base/clock.h"
#include "net/ipv4.h"
#include "node.h"
#include "port/memory_port.h"

namespace {

using namespace frames;
using namespace testing_node;

constexpr uint64_t kSecond = 1'000'000'000;

Bytes InnerFrame(int from, int to, uint32_t number) {
  Bytes payload;
  Put32(payload, number);
  const Address source = Pod(from, 4), destination = Pod(to, 4);
  return Ethernet(
      VtepMac(to), VtepMac(from), EtherType(source),
      IpPacket({source, destination, 17}, Udp(source, destination, 1111, 2222, payload)));
}

struct Rig {
  std::unique_ptr<port::MemoryPort> overlay, overlay_end, underlay, underlay_end;
  fwd::Publisher publisher{1};
  std::unique_ptr<engine::Worker> worker;
  pkt::LaneCounters overlay_counters, underlay_counters;  // Of the ends that the test holds.

  explicit Rig(engine::WorkerOptions options = {}) {
    auto above = port::MemoryPort::OpenPair({});
    auto below = port::MemoryPort::OpenPair({});
    overlay = std::move(above->first);
    overlay_end = std::move(above->second);
    underlay = std::move(below->first);
    underlay_end = std::move(below->second);
    worker = std::move(engine::Worker::Create(options, *overlay, *underlay, publisher)).value();
  }
  ~Rig() { worker->Stop(); }

  static bool Send(port::MemoryPort& end, pkt::LaneCounters& counters, const Bytes& frame) {
    pkt::Packet* packet = end.pool().Take();
    if (packet == nullptr) return false;
    std::memcpy(packet->data, frame.data(), frame.size());
    packet->len = static_cast<uint32_t>(frame.size());
    pkt::Batch batch;
    batch.Push(packet);
    end.Transmit(batch, counters);
    end.Flush();
    return true;
  }
};

TEST(Worker, CountsWhatCameBeforeTheFirstTableAndWhatItsPortsHeldAtTheEnd) {
  Rig rig;
  const Bytes frame = InnerFrame(1, 2, 0);
  ASSERT_TRUE(Rig::Send(*rig.overlay_end, rig.overlay_counters, frame));
  ASSERT_TRUE(rig.worker->Start().ok());
  const pkt::LaneCounters &out = rig.worker->encap().counters(),
                          &in = rig.worker->decap().counters();
  const auto drops = [](const pkt::LaneCounters& lane, pkt::DropReason why) {
    return lane.drops[static_cast<uint32_t>(why)].Read();
  };
  // The last that is counted of a packet is how it ended.
  for (const uint64_t end = base::MonotonicNs() + 30 * kSecond;
       drops(out, pkt::DropReason::kNoTable) == 0 && base::MonotonicNs() < end;)
    std::this_thread::yield();
  EXPECT_EQ(out.rx_packets.Read(), 1U);
  EXPECT_EQ(drops(out, pkt::DropReason::kNoTable), 1U);
  EXPECT_EQ(out.rx_packets.Read(), 1U);

  // A worker that was never started has nothing read; one that ends reads what is there.
  Rig late;
  for (uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(Rig::Send(*late.overlay_end, late.overlay_counters, frame));
    ASSERT_TRUE(Rig::Send(*late.underlay_end, late.underlay_counters, frame));
  }
  late.worker->Stop();
  ASSERT_TRUE(late.worker->Start().ok());
  late.worker->Stop();
  const pkt::LaneCounters &late_out = late.worker->encap().counters(),
                          &late_in = late.worker->decap().counters();
  EXPECT_EQ(late_out.rx_packets.Read(), 100U);
  EXPECT_EQ(drops(late_out, pkt::DropReason::kShutdown), 100U);
  EXPECT_EQ(drops(late_in, pkt::DropReason::kShutdown), 100U);
  EXPECT_EQ(in.rx_packets.Read(), 0U);
}

// Every table has the same peers in another order, so that an index of one is another peer in the
// next. The short form applies 300 tables, the long one (RIPSTOP_APPLIES) as many as it says.
TEST(Worker, MisroutesAndLosesNothingDuringAThousandAppliesASecond) {
  constexpr int kPeers = 40;
  constexpr uint64_t kApplyEveryNs = kSecond / 1000;
  constexpr uint64_t kInFlightMax = 200;  // Fewer than a ring holds: whatever is lost, we lost.
  const char* asked = std::getenv("RIPSTOP_APPLIES");
  const uint64_t applies = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 300;
  std::vector<Bytes> flat, inner;
  std::mt19937 random(1);
  std::vector<int> nodes(kPeers);
  std::iota(nodes.begin(), nodes.end(), 2);
  for (const int node : nodes) inner.push_back(InnerFrame(1, node, 0));
  for (int i = 0; i < 16; ++i) {
    std::shuffle(nodes.begin(), nodes.end(), random);
    TableBuilder table(1);
    for (const int node : nodes) table.AddPeer(node, 4, 4);
    flat.push_back(table.Flat());
  }
  const auto apply = [&](Rig& rig, uint64_t number) {
    rig.publisher.Publish(
        std::move(fwd::Snapshot::Build(flat[number % flat.size()], {}, number)).value());
  };

  Rig rig;
  apply(rig, 0);
  ASSERT_TRUE(rig.worker->Start().ok());
  std::atomic<uint64_t> applied{0};
  const uint64_t started = base::MonotonicNs();
  std::thread control([&] {
    for (uint64_t n = 1; n <= applies; ++n) {
      while (base::MonotonicNs() - started < n * kApplyEveryNs) std::this_thread::yield();
      apply(rig, n);
      applied.store(n, std::memory_order_release);
    }
  });

  uint64_t sent = 0, arrived = 0, misrouted = 0;
  pkt::Batch batch;
  const auto receive = [&] {
    rig.underlay_end->Receive(batch, rig.underlay_counters);
    for (const pkt::Packet* packet : batch) {
      const uint8_t* ip = packet->data + 14;
      const uint8_t* pod = packet->data + 50 + 14 + net::Ipv4::kDestination;
      const Address expected = Underlay(pod[2], 4);
      misrouted += std::memcmp(ip + net::Ipv4::kDestination, expected.bytes.data(), 4) != 0;
      misrouted += std::memcmp(packet->data, NicMac(pod[2]).data(), 6) != 0;
    }
    arrived += batch.count;
    pkt::GiveAll(batch);
    rig.underlay_end->Flush();
  };
  while (applied.load(std::memory_order_acquire) < applies) {
    if (sent - arrived < kInFlightMax &&
        Rig::Send(*rig.overlay_end, rig.overlay_counters, inner[sent % inner.size()])) {
      ++sent;
    } else {
      receive();
    }
  }
  control.join();
  const uint64_t deadline = base::MonotonicNs() + 30 * kSecond;
  while (arrived < sent && base::MonotonicNs() < deadline) receive();
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(misrouted, 0u);
  EXPECT_GT(sent, applies);
  RecordProperty("packets", std::to_string(sent));
  rig.worker->Stop();
  const pkt::LaneCounters& lane = rig.worker->encap().counters();
  EXPECT_EQ(lane.rx_packets.Read(), sent);
  EXPECT_EQ(lane.tx_packets.Read(), sent);
  EXPECT_EQ(rig.publisher.Reclaim(), 0u);
}

TEST(Worker, DrainsBothDirectionsFairlyUnderOverload) {
  constexpr uint64_t kPackets = 100'000;
  Rig rig;
  TableBuilder ours(1), theirs(2);
  ours.AddPeer(2, 4, 4);
  theirs.AddPeer(1, 4, 4);
  Node peer(theirs, {});
  peer.Encap(peer.Packet(InnerFrame(2, 1, 0)));
  const Bytes outgoing = InnerFrame(1, 2, 0), incoming = BytesOf(*peer.forward.packets[0]);
  rig.publisher.Publish(ours.Build({}));
  ASSERT_TRUE(rig.worker->Start().ok());

  pkt::Batch batch;
  const pkt::LaneCounters &encap = rig.worker->encap().counters(),
                          &decap = rig.worker->decap().counters();
  const uint64_t deadline = base::MonotonicNs() + 30 * kSecond;
  while (encap.rx_packets.Read() + decap.rx_packets.Read() < kPackets &&
         base::MonotonicNs() < deadline) {
    // Both rings are kept full: what finds no room is dropped here, at the sender.
    for (int i = 0; i < 64; ++i) {
      Rig::Send(*rig.overlay_end, rig.overlay_counters, outgoing);
      Rig::Send(*rig.underlay_end, rig.underlay_counters, incoming);
    }
    for (port::MemoryPort* end : {rig.overlay_end.get(), rig.underlay_end.get()}) {
      while (end->Receive(batch, rig.overlay_counters) != 0) pkt::GiveAll(batch);
      end->Flush();
    }
  }
  rig.worker->Stop();
  const auto out = static_cast<double>(encap.rx_packets.Read()),
             in = static_cast<double>(decap.rx_packets.Read());
  EXPECT_GE(out + in, kPackets);
  EXPECT_LT(std::max(out, in) / std::min(out, in), 1.5) << out << " out, " << in << " in";
}

TEST(Worker, TakesLessThanOnePercentOfACoreAtRest) {
  Rig rig;
  rig.publisher.Publish(TableBuilder(1).Build({}));
  ASSERT_TRUE(rig.worker->Start().ok());
  const auto cpu_ns = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
  };
  // The observer sleeps, so what the process takes is what its worker takes; where that shares its
  // core with much else, waking costs it more, so one of three looks is enough.
  uint64_t used = 0, passed = 0, beats = 0;
  for (int look = 0; look < 3 && used * 100 >= passed; ++look) {
    const uint64_t before = cpu_ns(), started = base::MonotonicNs();
    const uint64_t beat = rig.worker->heartbeat_ns();
    const timespec rest{0, 600'000'000};
    nanosleep(&rest, nullptr);
    used = cpu_ns() - before;
    passed = base::MonotonicNs() - started;
    beats += rig.worker->heartbeat_ns() != beat;
  }
  EXPECT_LT(used * 100, passed) << used / 1000 << " us of " << passed / 1000;
  EXPECT_GT(beats, 0U) << "it rests, it does not hang";
}

TEST(Worker, RunsWhereItIsBoundOrSaysWhyNot) {
  engine::WorkerOptions bound;
  bound.cpu = sched_getcpu();
  Rig rig(bound);
  ASSERT_TRUE(rig.worker->Start().ok());
  engine::WorkerOptions nowhere;
  nowhere.cpu = 1023;
  Rig other(nowhere);
  const base::Status refused = other.worker->Start();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "WORKER_CPU");
  EXPECT_NE(refused.error().op.find("CPU 1023"), std::string::npos);
}

}  // namespace
