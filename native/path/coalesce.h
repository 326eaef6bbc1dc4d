// Receive coalescing: neighbouring segments of one flow become a super-packet, for underlay ports
// that hand over single packets (AF_XDP, AF_PACKET, udp) in front of an overlay port that takes
// large ones. Only within one batch: no packet ever waits for the next. Thread: a worker.
#pragma once

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

// Takes every packet of `in` (plain Ethernet frames, as Decap delivers them) and leaves it empty.
// Merged packets are copied into frames of `big`; without a free one they pass as they came.
// Packets of a flow keep their order. What merges has its checksum verified first, because a
// super-packet gets a new one that would hide damage: a wrong one is dropped as kInnerChecksum.
// Everything else passes untouched. `udp`: the next port takes UDP super-packets too.
void Coalesce(pkt::Batch& in, pkt::FramePool& big, pkt::Outbox& out, pkt::LaneCounters& counters,
              bool udp);

}  // namespace path
