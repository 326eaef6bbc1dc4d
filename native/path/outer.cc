// The part of the outer headers that reads the payload. Thread: a worker.
#include "path/outer.h"

namespace path {

void FillOuterChecksum(pkt::Packet& packet, const fwd::Peer& peer, uint8_t* udp,
                       uint32_t udp_bytes) {
  const uint64_t pseudo = peer.pseudo_sum + base::SwapBytes(static_cast<uint16_t>(udp_bytes));
  if (packet.super_packet()) {
    base::Store(udp + net::kUdpChecksum, net::Fold(pseudo));
    packet.outer_checksum = true;
    return;
  }
  uint64_t sum;
  if (packet.checksum == pkt::Checksum::kPartial) {
    // Once the inner field is filled, everything from csum_start on sums up to the complement of
    // what the field holds now. So the outer checksum is known without touching the payload.
    const uint8_t* start = packet.data + packet.csum_start;
    sum = net::Sum(udp, static_cast<size_t>(start - udp), pseudo) +
          static_cast<uint16_t>(~base::Load<uint16_t>(start + packet.csum_offset));
  } else {
    sum = net::Sum(udp, udp_bytes, pseudo);
  }
  base::Store(udp + net::kUdpChecksum, net::FinishUdp(sum));
}

}  // namespace path
