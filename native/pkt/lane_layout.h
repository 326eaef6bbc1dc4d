// In which order the counters of a lane cross the border, and under which names. Control thread.
#pragma once

#include <string>
#include <vector>

#include "pkt/counters.h"

namespace pkt {

inline void AppendLaneNames(const std::string& lane, std::vector<std::string>* names) {
#define X(member, name) names->push_back(lane + "." name);
  RS_LANE_COUNTERS(X)
#undef X
  for (const DropReasonText& reason : kDropReasonTexts)
    names->push_back(lane + ".drop." + reason.label);
}

// Where AppendLane puts a value, counted from the lane's first.
inline constexpr uint32_t kRxPacketsAt = 0;
inline constexpr uint32_t DropAt(DropReason reason) {
  constexpr uint32_t before = 0
#define X(member, name) +1  // NOLINT(bugprone-macro-parentheses): a term of the sum above
      RS_LANE_COUNTERS(X)
#undef X
      ;
  return before + static_cast<uint32_t>(reason);
}

// Returns where the next value goes.
inline uint64_t* AppendLane(const LaneCounters& lane, uint64_t* at) {
#define X(member, name) *at++ = lane.member.Read();
  RS_LANE_COUNTERS(X)
#undef X
  for (const Counter& drop : lane.drops) *at++ = drop.Read();
  return at;
}

}  // namespace pkt
