// Software segmentation and checksum filling, for ports that cannot take super-packets or partial
// checksums.
#pragma once

#include "path/context.h"
#include "pkt/frame_pool.h"

namespace path {

// Cuts a super-packet (plain, or encapsulated with inner_offset set) into packets of gso_size
// payload bytes taken from `pool`, each complete: sequence numbers, IP ids and lengths, TCP flags
// (CWR first, FIN/PSH last), inner and outer lengths and checksums. The super-packet is given back.
// Frames that run out are counted as kNoFrame segments. A packet whose headers contradict its GSO
// metadata is dropped as kRxTruncated.
void Segment(pkt::Packet* super_packet, pkt::FramePool& pool, pkt::Outbox& out,
             pkt::LaneCounters& counters);

// Fills a kPartial L4 checksum (inner one when encapsulated) and marks the packet kUnknown.
void FillChecksum(pkt::Packet* packet);

}  // namespace path
