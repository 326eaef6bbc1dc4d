// Software segmentation and checksum filling, for ports that cannot take super-packets or partial
// checksums. Thread: a worker.
#pragma once

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

// Cuts a super-packet (plain, or encapsulated with inner_offset set) into packets of gso_size
// payload bytes taken from `pool`, each complete: sequence numbers, IP ids and lengths, TCP flags
// (CWR first, FIN/PSH last), inner and outer lengths and checksums. The super-packet is given back.
// Frames that run out are counted as kNoFrame segments. A packet whose headers contradict its GSO
// metadata is dropped as kRxTruncated.
void Segment(pkt::Packet* super_packet, pkt::FramePool& pool, pkt::Outbox& out,
             pkt::LaneCounters& counters);

// The same, but leaves up to `segments_each` segments together in smaller super-packets (plain ones
// only): for a super-packet that outgrows what an outer length field can say.
void Split(pkt::Packet* super_packet, uint32_t segments_each, pkt::FramePool& pool,
           pkt::Outbox& out, pkt::LaneCounters& counters);

// Fills a kPartial L4 checksum (the inner one when encapsulated) and marks the packet kUnknown.
void FillChecksum(pkt::Packet* packet);

}  // namespace path
