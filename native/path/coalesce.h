// Coalescing: neighbouring packets of one flow become a super-packet, so that every step behind it
// is paid once for all of them. On receive, when the underlay port hands over single packets; and
// before encapsulation, when the underlay port takes encapsulated super-packets. Only within one
// batch: no packet ever waits for the next. Thread: a worker.
#pragma once

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

// Takes every packet of `in` (plain Ethernet frames, as Decap delivers them) and leaves it empty.
// Merged packets are copied into frames of `big`; without a free one they pass as they came.
// Packets of a flow keep their order. A super-packet gets a new checksum that would hide damage, so
// nothing merges whose own nobody vouches for. Everything else passes untouched.
struct CoalesceRules {
  bool udp = true;  // The next port takes UDP super-packets too.
  // Checksums that nobody has looked at: verify them, and drop the packet as kInnerChecksum when
  // wrong. False: such packets pass as they came, which is what a router does.
  bool verify = true;
};
void Coalesce(pkt::Batch& in, pkt::FramePool& big, pkt::Outbox& out, pkt::LaneCounters& counters,
              CoalesceRules rules);

}  // namespace path
