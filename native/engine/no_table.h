// Before the first table nothing may pass: fail closed, counted. Thread: a worker.
#pragma once

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace engine {

inline void DropWithoutTable(pkt::Batch& batch, pkt::LaneCounters& counters) {
  for (const pkt::Packet* packet : batch) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(packet->len);
    counters.Drop(pkt::DropReason::kNoTable, 1);
  }
  pkt::GiveAll(batch);
}

}  // namespace engine
