#include "library/address_frames.h"

#include <cstring>

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"

namespace library {

namespace {

// The peer that holds the inner destination; anything else leaves the frame to the path's checks.
const fwd::Peer* FindPeer(const fwd::Snapshot& table, const pkt::Packet& packet) {
  if (packet.len < net::kEthernetBytes + net::Ipv4::kHeaderBytes) return nullptr;
  const uint8_t* ip = packet.data + net::kEthernetBytes;
  uint32_t peer = fwd::kNoPeer;
  if (ip[0] >> 4 == 4) {
    peer = table.FindInner4(base::Load<uint32_t>(ip + net::Ipv4::kDestination));
  } else if (packet.len >= net::kEthernetBytes + net::Ipv6::kHeaderBytes) {
    peer = table.FindInner6(ip + net::Ipv6::kDestination);
  }
  return peer < table.peers().size() ? &table.peers()[peer] : nullptr;
}

}  // namespace

void AddressFrames(const fwd::Snapshot& table, pkt::Batch& batch) {
  for (pkt::Packet* packet : batch) {
    const fwd::Peer* peer = FindPeer(table, *packet);
    if (peer == nullptr) continue;
    std::memcpy(packet->data, peer->vtep_mac, net::kMacBytes);
    std::memcpy(packet->data + net::kEtherSource, table.vtep_mac(), net::kMacBytes);
  }
}

}  // namespace library
