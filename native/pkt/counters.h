// Counters of one lane (one direction of one worker). Written by its worker with plain relaxed
// stores, read by anyone at any time. The law, exact whenever the worker is between batches, in
// segments (wire packets):
//   rx_packets = tx_packets + punts + replies + sum(drops)
#pragma once

#include <atomic>
#include <cstdint>

#include "pkt/drop_reason.h"
#include "pkt/packet.h"

namespace pkt {

class Counter {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Reset() { value_.store(0, std::memory_order_relaxed); }
  uint64_t Read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};  // Single writer: load + store, never a locked add.
};

// X(member, "name"): the order in which readCounters lays one lane out, before the drop reasons.
#define RS_LANE_COUNTERS(X)                                                                        \
  X(rx_packets, "rx_packets") /* Wire packets received (super-packets count as their segments). */ \
  X(rx_bytes, "rx_bytes")     /* Frame bytes received. */                                          \
  X(rx_frames, "rx_frames")   /* Hand-overs from the port (a super-packet is one). */              \
  X(rx_batches, "rx_batches") /* Receive bursts that brought at least one frame. */                \
  X(tx_packets, "tx_packets") /* Wire packets accepted by the far port. */                         \
  X(tx_bytes, "tx_bytes")                                                                          \
  X(tx_frames, "tx_frames")                                                                        \
  X(punts, "punts")     /* Wire packets handed back to the kernel's own path. */                   \
  X(replies, "replies") /* Wire packets answered with ICMP instead of being forwarded. */

struct alignas(64) LaneCounters {
#define X(member, name) Counter member;
  RS_LANE_COUNTERS(X)
#undef X
  Counter drops[kDropReasons];

  void Drop(DropReason reason, uint64_t segments) {
    drops[static_cast<uint32_t>(reason)].Add(segments);
  }
};

}  // namespace pkt
