// Overlay -> underlay: looks the inner packet up, checks it, and puts the outer headers in front of
// it. Thread: a worker. Never allocates, blocks, logs or throws. encap.cc opens with the numbered
// flow.
#pragma once

#include "path/context.h"

namespace path {

// Takes every packet of `in` and leaves it empty. Each packet goes to exactly one place:
//   * forward: encapsulated, inner_offset set, gso and checksum metadata shifted to the new start.
//   * reply: rewritten in place into an ICMP answer for the overlay side (counted in replies).
//   * punt: unchanged, for the kernel's own path (peer not ready for user space) or, where the
//     context says so, for a program that may know the destination; counted in punts.
//   * nowhere: given back to its pool and counted under a drop reason.
//
// rx_packets, rx_bytes and rx_frames are counted here: only parsing tells how many segments it is.
void Encap(const Context& context, pkt::Batch& in, pkt::Outbox& forward, pkt::Outbox& reply,
           pkt::Outbox& punt);

}  // namespace path
