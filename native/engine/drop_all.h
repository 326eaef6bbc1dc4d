// A batch that goes nowhere, counted: before the first table nothing may pass, and after the last
// round nothing is carried. Thread: a worker.
#pragma once

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace engine {

inline void DropAll(pkt::Batch& batch, pkt::LaneCounters& counters, pkt::DropReason why) {
  for (const pkt::Packet* packet : batch) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(packet->len);
    counters.Drop(why, 1);
  }
  pkt::GiveAll(batch);
}

// What a port still holds when its worker ends, as far as it can be read at once.
inline void DropPending(port::Port& port, pkt::Batch& batch, pkt::LaneCounters& counters) {
  constexpr uint32_t kBatchesMax = 256;  // A sender that goes on must not hold up the end.
  for (uint32_t i = 0; i < kBatchesMax && port.Receive(batch, counters) != 0; ++i)
    DropAll(batch, counters, pkt::DropReason::kShutdown);
}

}  // namespace engine
