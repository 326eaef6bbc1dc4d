// What bulk traffic costs where the ports do not help: checksums, segmentation and coalescing. Time
// is per byte or per wire packet.
#include <benchmark/benchmark.h>

#include "net/checksum.h"
#include "path/coalesce.h"
#include "path/segment.h"
#include "peers.h"

namespace {

constexpr uint32_t kMss = 1398, kSegments = 45, kHeader = 14 + 20 + 20;

void BM_Checksum(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) benchmark::DoNotOptimize(net::Sum(bytes.data(), bytes.size()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(BM_Checksum)->Arg(20)->Arg(64)->Arg(1460)->Arg(65000);

void Describe(pkt::Packet& packet, uint32_t segments) {
  uint8_t* ip = packet.data + net::kEthernetBytes;
  packet.len = kHeader + kMss * segments;
  bench::WriteFrame(packet.data, packet.len, 1, 0);
  ip[net::Ipv4::kProtocol] = net::kProtocolTcp;
  net::Ipv4::FillHeaderChecksum(ip);
  ip[20 + net::kTcpDataOffset] = 0x50;
  ip[20 + net::kTcpFlags] = net::kTcpAck;
  const uint64_t pseudo = net::PseudoSum<net::Ipv4>(ip, net::kProtocolTcp, packet.len - 34);
  base::Store(ip + 20 + net::kTcpChecksum, net::Fold(pseudo));
  packet.checksum = pkt::Checksum::kPartial;
  packet.gso = pkt::Gso::kTcp4;
  packet.gso_size = kMss;
  packet.segments = static_cast<uint16_t>(segments);
  packet.csum_start = 34;
  packet.csum_offset = net::kTcpChecksum;
}

struct Return final : pkt::Drain {
  void Take(pkt::Batch& batch) override { pkt::GiveAll(batch); }
};
struct Keep final : pkt::Drain {
  pkt::Batch kept;
  void Take(pkt::Batch& batch) override {
    kept = batch;
    batch.Clear();
  }
};

void CountPackets(benchmark::State& state) {
  state.counters["ns/packet"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kSegments / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_Segment(benchmark::State& state) {
  auto big = std::move(pkt::FramePool::Create(1, 65536 + 2048)).value();
  auto small = std::move(pkt::FramePool::Create(256, 2048)).value();
  pkt::LaneCounters counters;
  Return drain;
  pkt::Outbox box(drain);
  for (auto _ : state) {
    pkt::Packet* packet = big->Take();
    state.PauseTiming();
    Describe(*packet, kSegments);
    state.ResumeTiming();
    path::Segment(packet, *small, box, counters);
    box.Flush();
  }
  CountPackets(state);
}
BENCHMARK(BM_Segment);

void BM_Coalesce(benchmark::State& state) {
  auto big = std::move(pkt::FramePool::Create(2, 65536 + 2048)).value();
  auto small = std::move(pkt::FramePool::Create(256, 2048)).value();
  pkt::LaneCounters counters;
  Return drain;
  Keep keep;
  pkt::Outbox box(drain), kept(keep);
  for (auto _ : state) {
    state.PauseTiming();
    pkt::Packet* packet = big->Take();
    Describe(*packet, kSegments);
    path::Segment(packet, *small, kept, counters);
    kept.Flush();
    state.ResumeTiming();
    path::Coalesce(keep.kept, *big, box, counters, {});
    box.Flush();
  }
  CountPackets(state);
}
BENCHMARK(BM_Coalesce);

}  // namespace
