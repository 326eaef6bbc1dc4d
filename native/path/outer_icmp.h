// ICMP about our own outer packets: a router on the way to a peer says that they are too big. The
// answer lowers that peer's path MTU, whereupon pods get their own too-big messages. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "fwd/snapshot.h"

namespace path {

struct PathMtu {
  uint8_t family = 0;     // Of the underlay, 4 or 6.
  uint8_t peer[16] = {};  // The peer's public address, network order; IPv4 uses the first 4 bytes.
  uint16_t mtu = 0;  // Largest outer IP packet that passes, bytes; at least the family's least.
};

// Reads a frame (Ethernet header first) that may be fragmentation-needed or packet-too-big about an
// encapsulated packet of ours. Anyone can forge such a message, so it must quote what only we send:
// our underlay address to a known peer, UDP from our range of source ports to our port. It can only
// lower an MTU, never below 552 (IPv4) or 1280 (IPv6) and never above the underlay's own.
std::optional<PathMtu> ReadOuterIcmp(const fwd::Snapshot& table, const uint8_t* frame,
                                     uint32_t bytes);

}  // namespace path
