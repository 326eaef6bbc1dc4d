// Steps 1-6 of the receive checks: the outer headers and the inner Ethernet header (path/decap.cc).
// Thread: a worker. Changes nothing.
#pragma once

#include "fwd/snapshot.h"
#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

// What the outer headers said. Offsets are bytes from packet.data.
struct Outer {
  uint32_t udp = 0;
  uint32_t payload = 0;  // First byte behind the UDP header.
  uint32_t end = 0;      // First byte behind the datagram, by the smaller of IP and UDP length.
  uint8_t tos = 0;
  uint8_t family = 0;
  uint32_t peer = fwd::kNoPeer;  // The sender's first record, which names its node.
};

// Fetches what step 4 will look up. Believes nothing but the frame's length.
void PrefetchSender(const fwd::Snapshot& table, const pkt::Packet& packet);

// Steps 1-4.
pkt::DropReason CheckOuter(const fwd::Snapshot& table, const pkt::Packet& packet, Outer& outer);

// Steps 5 and 6, for VXLAN. On success `inner` is where the inner IP header starts.
pkt::DropReason CheckVxlan(const fwd::Snapshot& table, const pkt::Packet& packet,
                           const Outer& outer, uint32_t& inner, uint16_t& type);

}  // namespace path
