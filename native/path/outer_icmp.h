// ICMP about our own outer packets: a router on the way to a peer says that they are too big. The
// answer lowers that peer's path MTU, whereupon pods get their own too-big messages. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "fwd/path_mtus.h"
#include "fwd/snapshot.h"

namespace path {

// Reads a frame (Ethernet header first) that may be fragmentation-needed or packet-too-big about an
// encapsulated packet of ours. Anyone can forge such a message, so it must quote what only we send:
// our underlay address to a known peer, UDP from our range of source ports to our port (of VXLAN
// also the header, as far as it is quoted), unfragmented, of a length that we send and that the MTU
// does not let through. It can only lower an MTU, never below 552 (IPv4) or 1280 (IPv6).
std::optional<fwd::PathMtu> ReadOuterIcmp(const fwd::Snapshot& table, const uint8_t* frame,
                                          uint32_t bytes);

}  // namespace path
