// Underlay -> overlay: the receive checks in the order of docs/drop-reasons.md, then the outer
// headers come off. Thread: a worker. Never allocates, blocks, logs or throws. decap.cc opens with
// the numbered flow.
#pragma once

#include "path/context.h"

namespace path {

// Takes every packet of `in` (frames as they came from the wire, outer Ethernet first) and leaves
// it empty. A packet that passes goes to `deliver` as an inner Ethernet frame addressed to our VTEP
// (made up for the udp format), its metadata shifted; anything else is given back and counted.
// Strangers get silence. rx_packets/rx_bytes/rx_frames are counted here (after parsing, because
// only then segments are known).
void Decap(const Context& context, pkt::Batch& in, pkt::Outbox& deliver);

}  // namespace path
