// The outer headers: put in front of an inner packet that has passed everything and fits.
// Thread: a worker. Checks nothing.
#pragma once

#include "fwd/snapshot.h"
#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

// Copies the peer's template before the inner frame (VXLAN) or over its Ethernet header (udp),
// patches lengths, source port, ECN and checksums, and shifts the packet's metadata.
void PutOuter(const fwd::Format& format, const fwd::Peer& peer, const IpView& view,
              pkt::Packet& packet);

// Bytes by which PutOuter lengthens a frame.
inline uint32_t OuterGrowth(const fwd::Format& format, const fwd::Peer& peer) {
  const bool vxlan = format.encapsulation == fwd::Encapsulation::kVxlan;
  return peer.outer_bytes - (vxlan ? 0 : net::kEthernetBytes);
}

}  // namespace path
