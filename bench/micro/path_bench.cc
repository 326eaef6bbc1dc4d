// The packet path alone: 64-byte inner frames in batches of 64, 10,000 peers, every packet to or
// from another one. Time is per packet. BM_Copy64 is the yardstick: copying the same frames within
// the same memory.
#include <benchmark/benchmark.h>

#include "path/decap.h"
#include "path/encap.h"
#include "peers.h"

namespace {

constexpr uint32_t kPeers = 10000;
constexpr uint32_t kPackets =
    1024;  // 16 batches: what is touched does not stay in the first cache.
constexpr uint32_t kFrameBytes = 64;

struct Rig {
  fwd::Format format;
  std::unique_ptr<const fwd::Snapshot> table;
  std::unique_ptr<pkt::FramePool> pool;
  std::vector<bench::Saved> saved;
  pkt::LaneCounters counters;
  path::ReplyLimiter replies;
  bench::Sink sink;
  pkt::Outbox box{sink}, reply{sink}, punt{sink};

  Rig(uint32_t peers, fwd::Encapsulation encapsulation, uint32_t frame_bytes) {
    format.encapsulation = encapsulation;
    table = bench::Build(peers, format);
    pool = std::move(pkt::FramePool::Create(kPackets + 64, 2048)).value();
    std::mt19937 random(1);
    for (uint32_t i = 0; i < kPackets; ++i) {
      pkt::Packet* packet = pool->Take();
      packet->len = frame_bytes;
      bench::WriteFrame(packet->data, frame_bytes, 0, 1 + random() % peers);
      saved.push_back({packet, packet->data, packet->len});
    }
  }
  ~Rig() {
    for (const bench::Saved& one : saved) pkt::Give(one.packet);
  }
  path::Context Context() { return {*table, counters, 1'000'000'000, replies, *pool}; }

  // Turns the frames into what the peers would have sent us.
  void MakeIncoming(uint32_t frame_bytes) {
    std::mt19937 random(1);
    for (bench::Saved& one : saved) {
      const uint32_t node = 1 + random() % static_cast<uint32_t>(table->peers().size());
      bench::WriteFrame(one.data, frame_bytes, node, 0);
      const fwd::Peer& peer = table->peers()[node - 1];
      uint8_t* wire = one.data - peer.outer_bytes;
      std::memcpy(wire, peer.outer + fwd::kTemplateBytes - peer.outer_bytes, peer.outer_bytes);
      uint8_t* ip = wire + net::kEthernetBytes;
      const uint32_t ip_bytes = frame_bytes + peer.outer_bytes - net::kEthernetBytes;
      base::StoreBe16(ip + 2, static_cast<uint16_t>(ip_bytes));
      base::StoreBe32(ip + net::Ipv4::kSource, bench::PublicAddress(node));
      base::StoreBe32(ip + net::Ipv4::kDestination, bench::PublicAddress(0));
      net::Ipv4::FillHeaderChecksum(ip);
      base::StoreBe16(ip + 24, static_cast<uint16_t>(ip_bytes - 20));
      one.data = wire;
      one.len = frame_bytes + peer.outer_bytes;
    }
  }

  template <typename Step>
  void Run(benchmark::State& state, Step step) {
    uint32_t at = 0;
    pkt::Batch batch;
    for (auto _ : state) {
      for (uint32_t i = 0; i < pkt::kBatchMax; ++i) {
        saved[at + i].Restore();
        batch.Push(saved[at + i].packet);
      }
      step(batch);
      at = (at + pkt::kBatchMax) % kPackets;
    }
    box.Flush();
    const uint64_t packets = state.iterations() * pkt::kBatchMax;
    if (sink.taken != packets) state.SkipWithError("packets were dropped");
    state.counters["ns/packet"] =
        benchmark::Counter(static_cast<double>(packets) / 1e9,
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.SetItemsProcessed(static_cast<int64_t>(packets));
  }
};

void BM_LookupAndEncap(benchmark::State& state) {
  Rig rig(static_cast<uint32_t>(state.range(0)), fwd::Encapsulation::kVxlan, kFrameBytes);
  const path::Context context = rig.Context();
  rig.Run(state,
          [&](pkt::Batch& batch) { path::Encap(context, batch, rig.box, rig.reply, rig.punt); });
}
BENCHMARK(BM_LookupAndEncap)->Arg(1)->Arg(1000)->Arg(kPeers);

void BM_ChecksAndDecap(benchmark::State& state) {
  Rig rig(static_cast<uint32_t>(state.range(0)), fwd::Encapsulation::kVxlan, kFrameBytes);
  rig.MakeIncoming(kFrameBytes);
  const path::Context context = rig.Context();
  rig.Run(state, [&](pkt::Batch& batch) { path::Decap(context, batch, rig.box); });
}
BENCHMARK(BM_ChecksAndDecap)->Arg(1)->Arg(1000)->Arg(kPeers);

void BM_Copy64(benchmark::State& state) {
  Rig rig(kPeers, fwd::Encapsulation::kVxlan, kFrameBytes);
  rig.Run(state, [&](pkt::Batch& batch) {
    for (pkt::Packet* packet : batch) {
      std::memcpy(packet->data - 80, packet->data, kFrameBytes);
      benchmark::DoNotOptimize(packet->data[-80]);
      rig.box.Push(packet);
    }
    batch.Clear();
  });
}
BENCHMARK(BM_Copy64);

}  // namespace
