// What an apply costs on the control thread: checking a flat table, building the snapshot, and
// publishing it.
#include <benchmark/benchmark.h>

#include "fwd/publisher.h"
#include "peers.h"

namespace {

void BM_Apply(benchmark::State& state) {
  const std::vector<uint8_t> table = bench::Table(static_cast<uint32_t>(state.range(0)));
  fwd::Publisher publisher(1);
  for (auto _ : state) {
    auto built = fwd::Snapshot::Build(table, fwd::Format{});
    if (!built) return state.SkipWithError("the table was refused");
    publisher.Publish(std::move(built).value());
    benchmark::DoNotOptimize(publisher.Adopt(0));
  }
}
BENCHMARK(BM_Apply)->Arg(1)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
