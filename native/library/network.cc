#include "library/network.h"

#include "base/salt.h"
#include "engine/no_table.h"
#include "pkt/lane_layout.h"

namespace library {

namespace {

constexpr uint32_t kSegmentFrames = 512;
constexpr uint32_t kSegmentFrameBytes = 10240;  // Jumbo underlay with headers and headroom.
constexpr uint32_t kBigFrames = pkt::kBatchMax;
constexpr uint32_t kBigFrameBytes = 34 * 2048;  // A super-packet of 64 KiB.

}  // namespace

base::Result<std::unique_ptr<Network>> Network::Create(const NetworkOptions& options,
                                                       OpenedPort overlay, port::Port& underlay) {
  auto segments = pkt::FramePool::Create(kSegmentFrames, kSegmentFrameBytes);
  if (!segments.ok()) return segments.error();
  auto big = pkt::FramePool::Create(kBigFrames, kBigFrameBytes);
  if (!big.ok()) return big.error();
  return std::unique_ptr<Network>(new Network(options, std::move(overlay), underlay,
                                              std::move(segments).value(), std::move(big).value()));
}

Network::Network(const NetworkOptions& options, OpenedPort overlay, port::Port& underlay,
                 std::unique_ptr<pkt::FramePool> segments, std::unique_ptr<pkt::FramePool> big)
    : options_(options),
      salt_(base::RandomSalt()),
      segments_(std::move(segments)),
      big_(std::move(big)),
      overlay_(std::move(overlay.port)),
      share_(underlay, options.format.vni),
      routed_(*overlay_),
      encap_(routed_, share_, *segments_, *big_, tap_),
      decap_(share_, routed_, *segments_, *big_, tap_),
      fdb_(options.format.bridged ? options.fdb_entries : 1, options.aging_ns, salt_),
      to_underlay_(share_, *segments_, out_counters_, false, tap_, capture::Point::kUnderlay),
      to_overlay_(*overlay_, *segments_, in_counters_, false, tap_, capture::Point::kOverlay) {}

base::Status Network::Apply(std::span<const uint8_t> table) {
  auto snapshot = fwd::Snapshot::Build(table, options_.format, salt_);
  if (!snapshot.ok()) return snapshot.error();
  table_version_ = snapshot.value()->version();
  peers_ = static_cast<uint32_t>(snapshot.value()->peers().size());
  publisher_.Publish(std::move(snapshot).value());
  return base::Ok();
}

uint32_t Network::Run(uint64_t now_ns) {
  const fwd::Snapshot* table = publisher_.Adopt(0);
  tap_.Adopt(now_ns);
  uint32_t moved;
  if (options_.format.bridged) {
    moved = RunBridged(table, now_ns);
  } else {
    routed_.Follow(table);
    moved = encap_.Run(table, now_ns) + decap_.Run(table, now_ns);
  }
  overlay_->Flush();
  return moved;
}

uint32_t Network::RunBridged(const fwd::Snapshot* table, uint64_t now_ns) {
  const uint32_t out = overlay_->Receive(batch_, out_counters_);
  if (out != 0) {
    out_counters_.rx_batches.Add(1);
    if (tap_.on(capture::Point::kOverlay)) [[unlikely]]
      tap_.Record(batch_, capture::Point::kOverlay, capture::Direction::kIn);
    if (table == nullptr) {
      engine::DropWithoutTable(batch_, out_counters_);
    } else {
      path::BridgeOut({*table, fdb_, out_counters_, bridge_counters_, now_ns, *segments_,
                       options_.learns, options_.floods},
                      batch_, forward_);
      forward_.Flush();
    }
  }
  const uint32_t in = share_.Receive(batch_, in_counters_);
  if (in != 0) {
    in_counters_.rx_batches.Add(1);
    if (tap_.on(capture::Point::kUnderlay)) [[unlikely]]
      tap_.Record(batch_, capture::Point::kUnderlay, capture::Direction::kIn);
    if (table == nullptr) {
      engine::DropWithoutTable(batch_, in_counters_);
    } else {
      path::BridgeIn({*table, fdb_, in_counters_, bridge_counters_, now_ns, *segments_,
                      options_.learns, options_.floods},
                     batch_, deliver_);
      deliver_.Flush();
    }
  }
  return out + in;
}

const std::vector<std::string>& Network::CounterNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const char* lane : {"encap", "decap", "answer"}) pkt::AppendLaneNames(lane, &all);
#define X(member, name) all.push_back("bridge." name);
    RS_BRIDGE_COUNTERS(X)
#undef X
    return all;
  }();
  return names;
}

void Network::ReadCounters(uint64_t* into) const {
  const bool bridged = options_.format.bridged;
  into = pkt::AppendLane(bridged ? out_counters_ : encap_.counters(), into);
  into = pkt::AppendLane(bridged ? in_counters_ : decap_.counters(), into);
  into = pkt::AppendLane(encap_.answers(), into);
#define X(member, name) *into++ = bridge_counters_.member.Read();
  RS_BRIDGE_COUNTERS(X)
#undef X
}

}  // namespace library
