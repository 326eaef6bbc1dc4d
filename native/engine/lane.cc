#include "engine/lane.h"

#include <initializer_list>

#include "engine/drop_all.h"
#include "path/coalesce.h"
#include "path/decap.h"
#include "path/encap.h"

namespace engine {

namespace {

using capture::Direction;
using capture::Point;

struct DropCounts {
  uint64_t of[pkt::kDropReasons] = {};
  explicit DropCounts(std::initializer_list<const pkt::LaneCounters*> all) {
    for (const pkt::LaneCounters* counters : all)
      for (uint32_t i = 0; i < pkt::kDropReasons; ++i) of[i] += counters->drops[i].Read();
  }
};

// While dropped packets are captured, every packet goes alone: a counter that grew says that this
// one ended and why, wherever on its way that was. So the path itself knows nothing of captures.
template <typename Carry>
void CarryWatched(capture::Tap& tap, pkt::Batch& batch,
                  std::initializer_list<const pkt::LaneCounters*> counters, Carry carry) {
  pkt::Batch all = batch;
  batch.Clear();
  for (pkt::Packet* packet : all) {
    tap.session()->Remember(*packet);
    const DropCounts before(counters);
    batch.Push(packet);
    carry(batch);
    const DropCounts after(counters);
    for (uint32_t i = 0; i < pkt::kDropReasons; ++i) {
      if (after.of[i] == before.of[i]) continue;
      tap.session()->AddRemembered(Direction::kIn, static_cast<uint8_t>(i), tap.now_ns());
    }
  }
}

// A port that cannot send an encapsulated super-packet does not receive one either.
bool MustCoalesce(const port::Port& underlay, const port::Port& overlay) {
  return overlay.capabilities().super_packets && !underlay.capabilities().tunnel_super_packets;
}

}  // namespace

void GatherDrain::Take(pkt::Batch& batch) {
  for (pkt::Packet* packet : batch) batch_.Push(packet);
  batch.Clear();
}

EncapLane::EncapLane(port::Port& overlay, port::Port& underlay, pkt::FramePool& segments,
                     pkt::FramePool& big, capture::Tap& tap, pkt::Drain* unknown, uint32_t lanes)
    : overlay_(overlay),
      segments_(segments),
      big_(big),
      tap_(tap),
      coalesces_(underlay.capabilities().tunnel_super_packets),
      udp_(underlay.capabilities().udp_super_packets),
      limiter_(lanes),
      forward_drain_(underlay, segments, counters_, false, tap, Point::kUnderlay, &traffic_),
      reply_drain_(overlay, segments, answers_, true, tap, Point::kOverlay),
      punt_drain_(overlay, segments, answers_, true, tap, Point::kOverlay),
      punt_(unknown != nullptr ? *unknown : punt_drain_),
      punts_unknown_(unknown != nullptr) {}

uint32_t EncapLane::Run(const fwd::Snapshot* table, uint64_t now_ns) {
  const uint32_t received = Receive();
  if (received != 0) RunReceived(table, now_ns);
  return received;
}

uint32_t EncapLane::Receive() {
  const uint32_t received = overlay_.Receive(batch_, counters_);
  if (received != 0) counters_.rx_batches.Add(1);
  return received;
}

void EncapLane::RunReceived(const fwd::Snapshot* table, uint64_t now_ns) {
  if (table == nullptr) return DropAll(batch_, counters_, pkt::DropReason::kNoTable);
  if (tap_.on(Point::kOverlay)) [[unlikely]]
    tap_.Record(batch_, Point::kOverlay, Direction::kIn);
  Enter(batch_, *table, now_ns, punts_unknown_);
}

void EncapLane::RunAgain(pkt::Batch& batch, const fwd::Snapshot* table, uint64_t now_ns) {
  counters_.rx_batches.Add(1);
  if (table == nullptr) return DropAll(batch, counters_, pkt::DropReason::kNoTable);
  Enter(batch, *table, now_ns, false);
}

void EncapLane::Enter(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns,
                      bool punts_unknown) {
  if (tap_.on(Point::kDrop)) [[unlikely]] {
    CarryWatched(tap_, batch, {&counters_, &answers_},
                 [&](pkt::Batch& one) { Carry(one, table, now_ns, punts_unknown); });
  } else {
    Carry(batch, table, now_ns, punts_unknown);
  }
}

void EncapLane::End() { DropPending(overlay_, batch_, counters_); }
void DecapLane::End() { DropPending(underlay_, batch_, counters_); }

void EncapLane::Carry(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns,
                      bool punts_unknown) {
  traffic_.Begin(table, now_ns);
  pkt::Batch* carried = &batch;
  if (coalesces_ && batch.count > 1) {
    path::Coalesce(batch, big_, gathered_, counters_, {.udp = udp_, .verify = false});
    gathered_.Flush();
    carried = &gather_.batch();
  }
  path::Encap(path::Context{table, counters_, now_ns, limiter_, segments_, punts_unknown}, *carried,
              forward_, reply_, punt_);
  forward_.Flush();
  reply_.Flush();
  punt_.Flush();
}

void CoalesceDrain::Take(pkt::Batch& batch) {
  path::Coalesce(batch, big_, out_, counters_, {.udp = udp_});
  out_.Flush();
}

DecapLane::DecapLane(port::Port& underlay, port::Port& overlay, pkt::FramePool& segments,
                     pkt::FramePool& big, capture::Tap& tap)
    : underlay_(underlay),
      segments_(segments),
      tap_(tap),
      deliver_drain_(overlay, segments, counters_, false, tap, Point::kOverlay, &traffic_),
      coalesce_drain_(deliver_drain_, big, counters_, overlay.capabilities().udp_super_packets),
      deliver_(MustCoalesce(underlay, overlay) ? static_cast<pkt::Drain&>(coalesce_drain_)
                                               : deliver_drain_) {}

uint32_t DecapLane::Run(const fwd::Snapshot* table, uint64_t now_ns) {
  const uint32_t received = underlay_.Receive(batch_, counters_);
  if (received == 0) return 0;
  counters_.rx_batches.Add(1);
  if (table == nullptr) {
    DropAll(batch_, counters_, pkt::DropReason::kNoTable);
    return received;
  }
  if (tap_.on(Point::kUnderlay)) [[unlikely]]
    tap_.Record(batch_, Point::kUnderlay, Direction::kIn);
  if (tap_.on(Point::kDrop)) [[unlikely]] {
    CarryWatched(tap_, batch_, {&counters_}, [&](pkt::Batch& one) { Carry(one, *table, now_ns); });
  } else {
    Carry(batch_, *table, now_ns);
  }
  return received;
}

void DecapLane::Carry(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns) {
  traffic_.Begin(table, now_ns);
  path::Decap(path::Context{table, counters_, now_ns, limiter_, segments_}, batch, deliver_);
  deliver_.Flush();
}

}  // namespace engine
