#include "engine/lane.h"

#include "path/coalesce.h"
#include "path/decap.h"
#include "path/encap.h"

namespace engine {

namespace {

// Before the first table nothing may pass: fail closed, counted.
void DropWithoutTable(pkt::Batch& batch, pkt::LaneCounters& counters) {
  for (const pkt::Packet* packet : batch) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(packet->len);
    counters.Drop(pkt::DropReason::kNoTable, 1);
  }
  pkt::GiveAll(batch);
}

// A port that cannot send an encapsulated super-packet does not receive one either.
bool MustCoalesce(const port::Port& underlay, const port::Port& overlay) {
  return overlay.capabilities().super_packets && !underlay.capabilities().tunnel_super_packets;
}

}  // namespace

EncapLane::EncapLane(port::Port& overlay, port::Port& underlay, pkt::FramePool& segments)
    : overlay_(overlay),
      segments_(segments),
      forward_drain_(underlay, segments, counters_, false),
      reply_drain_(overlay, segments, answers_, true),
      punt_drain_(overlay, segments, answers_, true) {}

uint32_t EncapLane::Run(const fwd::Snapshot* table, uint64_t now_ns) {
  const uint32_t received = overlay_.Receive(batch_, counters_);
  if (received == 0) return 0;
  counters_.rx_batches.Add(1);
  if (table == nullptr) {
    DropWithoutTable(batch_, counters_);
    return received;
  }
  path::Encap(path::Context{*table, counters_, now_ns, limiter_, segments_}, batch_, forward_,
              reply_, punt_);
  forward_.Flush();
  reply_.Flush();
  punt_.Flush();
  return received;
}

void CoalesceDrain::Take(pkt::Batch& batch) {
  path::Coalesce(batch, big_, out_, counters_, true);
  out_.Flush();
}

DecapLane::DecapLane(port::Port& underlay, port::Port& overlay, pkt::FramePool& segments,
                     pkt::FramePool& big)
    : underlay_(underlay),
      segments_(segments),
      deliver_drain_(overlay, segments, counters_, false),
      coalesce_drain_(deliver_drain_, big, counters_),
      deliver_(MustCoalesce(underlay, overlay) ? static_cast<pkt::Drain&>(coalesce_drain_)
                                               : deliver_drain_) {}

uint32_t DecapLane::Run(const fwd::Snapshot* table, uint64_t now_ns) {
  const uint32_t received = underlay_.Receive(batch_, counters_);
  if (received == 0) return 0;
  counters_.rx_batches.Add(1);
  if (table == nullptr) {
    DropWithoutTable(batch_, counters_);
    return received;
  }
  path::Decap(path::Context{*table, counters_, now_ns, limiter_, segments_}, batch_, deliver_);
  deliver_.Flush();
  return received;
}

}  // namespace engine
