#include "engine/lane.h"

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

DecapLane::DecapLane(port::Port& underlay, port::Port& overlay, pkt::FramePool& segments)
    : underlay_(underlay),
      segments_(segments),
      deliver_drain_(overlay, segments, counters_, false) {}

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
