// What a lane hands to the path for one batch. Pure data; time comes in as a number.
#pragma once

#include <cstdint>

#include "fwd/snapshot.h"
#include "path/reply_limiter.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

struct Context {
  const fwd::Snapshot& table;
  pkt::LaneCounters& counters;
  uint64_t now_ns;
  ReplyLimiter& replies;  // Token buckets for ICMP answers; owned by the lane.
  pkt::FramePool&
      frames;  // For packets that the path makes: fragments and segments. Owned by the same worker.
  bool punts_unknown = false;  // What no peer holds is punted instead of answered or dropped.
};

}  // namespace path
