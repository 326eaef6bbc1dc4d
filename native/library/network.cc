#include "library/network.h"

#include "base/salt.h"
#include "engine/drop_all.h"
#include "library/address_frames.h"
#include "path/flow_key.h"
#include "pkt/lane_layout.h"

namespace library {

namespace {

constexpr uint32_t kSegmentFrames = 512;
constexpr uint32_t kSegmentFrameBytes = 10240;  // Jumbo underlay with headers and headroom.
constexpr uint32_t kBigFrames = pkt::kBatchMax;
constexpr uint32_t kBigFrameBytes = 34 * 2048;  // A super-packet of 64 KiB.

}  // namespace

base::Result<std::unique_ptr<Network>> Network::Create(const NetworkOptions& options,
                                                       OpenedPort overlay, OpenedPort punts,
                                                       port::Port& underlay) {
  auto segments = pkt::FramePool::Create(kSegmentFrames, kSegmentFrameBytes);
  if (!segments.ok()) return segments.error();
  auto big = pkt::FramePool::Create(kBigFrames, kBigFrameBytes);
  if (!big.ok()) return big.error();
  return std::unique_ptr<Network>(new Network(options, std::move(overlay), std::move(punts),
                                              underlay, std::move(segments).value(),
                                              std::move(big).value()));
}

Network::Network(const NetworkOptions& options, OpenedPort overlay, OpenedPort punts,
                 port::Port& underlay, std::unique_ptr<pkt::FramePool> segments,
                 std::unique_ptr<pkt::FramePool> big)
    : options_(options),
      salt_(base::RandomSalt()),
      segments_(std::move(segments)),
      big_(std::move(big)),
      overlay_(std::move(overlay.port)),
      share_(underlay, options.format.vni),
      inside_(Prepare(std::move(punts))),
      encap_(inside_, share_, *segments_, *big_, tap_,
             punts_unknown() ? &punts_->drain() : nullptr),
      decap_(share_, *overlay_, *segments_, *big_, tap_),
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

// Makes what stands before the overlay port; returns where this side's packets come from.
port::Port& Network::Prepare(OpenedPort punts) {
  if (punts.port != nullptr) punts_.emplace(std::move(punts.port), *segments_);
  if (!punts_ || options_.punt != NetworkOptions::Punt::kUnknownFlows) return *overlay_;
  return gate_.emplace(*overlay_, *punts_, options_.flow_entries, options_.flow_idle_ns, salt_);
}

bool Network::Decide(std::span<const uint8_t> frame, fwd::FlowVerdict verdict) {
  fwd::FlowKey flow;
  path::IpView view;
  return gate_ && path::ReadFlow(frame.data(), static_cast<uint32_t>(frame.size()), &flow, &view) &&
         gate_->Decide(flow, verdict);
}

// All that waits is taken first, and the table is adopted after it: a packet meets what the program
// said before it sent that packet.
uint32_t Network::Run(uint64_t now_ns) {
  tap_.Adopt(now_ns);
  if (gate_) gate_->Begin(now_ns);
  uint32_t moved = punts_ ? punts_->TakeBack(again_) : 0;
  const uint32_t out =
      options_.format.bridged ? inside_.Receive(batch_, out_counters_) : encap_.Receive();
  moved += out + share_.inbox().count;
  const fwd::Snapshot* table = publisher_.Adopt(0);
  if (options_.format.bridged) {
    RunBridged(out, table, now_ns);
  } else {
    RunRouted(out, table, now_ns);
  }
  overlay_->Flush();
  if (punts_) punts_->Flush();
  return moved;
}

void Network::RunRouted(uint32_t out, const fwd::Snapshot* table, uint64_t now_ns) {
  if (again_.count != 0) {
    if (table != nullptr) AddressFrames(*table, again_);
    encap_.RunAgain(again_, table, now_ns);
  }
  if (out != 0) {
    if (table != nullptr) AddressFrames(*table, encap_.received());
    encap_.RunReceived(table, now_ns);
  }
  decap_.Run(table, now_ns);
}

void Network::BridgeOut(pkt::Batch& batch, const fwd::Snapshot* table, uint64_t now_ns,
                        pkt::Outbox* punt) {
  out_counters_.rx_batches.Add(1);
  if (table == nullptr) return engine::DropAll(batch, out_counters_, pkt::DropReason::kNoTable);
  path::BridgeOut({*table, fdb_, out_counters_, bridge_counters_, now_ns, *segments_,
                   options_.learns, options_.floods, punt},
                  batch, forward_);
  forward_.Flush();
  if (punt != nullptr) punt->Flush();
}

void Network::RunBridged(uint32_t out, const fwd::Snapshot* table, uint64_t now_ns) {
  if (again_.count != 0) BridgeOut(again_, table, now_ns, nullptr);
  if (out != 0) {
    if (tap_.on(capture::Point::kOverlay)) [[unlikely]]
      tap_.Record(batch_, capture::Point::kOverlay, capture::Direction::kIn);
    BridgeOut(batch_, table, now_ns, punts_unknown() ? &punts_->outbox() : nullptr);
  }
  if (share_.Receive(batch_, in_counters_) == 0) return;
  in_counters_.rx_batches.Add(1);
  if (tap_.on(capture::Point::kUnderlay)) [[unlikely]]
    tap_.Record(batch_, capture::Point::kUnderlay, capture::Direction::kIn);
  if (table == nullptr) return engine::DropAll(batch_, in_counters_, pkt::DropReason::kNoTable);
  path::BridgeIn({*table, fdb_, in_counters_, bridge_counters_, now_ns, *segments_, options_.learns,
                  options_.floods},
                 batch_, deliver_);
  deliver_.Flush();
}

const std::vector<std::string>& Network::CounterNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const char* lane : {"encap", "decap", "answer", "punt"}) pkt::AppendLaneNames(lane, &all);
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
  static const pkt::LaneCounters kNothing;
  into = pkt::AppendLane(punts_ ? punts_->counters() : kNothing, into);
#define X(member, name) *into++ = bridge_counters_.member.Read();
  RS_BRIDGE_COUNTERS(X)
#undef X
}

}  // namespace library
