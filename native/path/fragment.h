// IPv4 fragmentation (RFC 791 section 3.2) of an inner packet that may be fragmented and does not
// fit the path to its peer. The outer packet is never fragmented. Thread: a worker.
#pragma once

#include "path/parse.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

// Cuts a plain Ethernet frame with an IPv4 packet (view.may_fragment, no super-packet) into
// fragments of at most `mtu` bytes from `pool`. All or nothing: without frames for all, the packet
// is dropped as kNoFrame. Takes the packet. The fragments beyond the first are counted as received
// too, since everything that ends must have begun.
void Fragment(pkt::Packet* packet, const IpView& view, uint32_t mtu, pkt::FramePool& pool,
              pkt::Outbox& out, pkt::LaneCounters& counters);

}  // namespace path
