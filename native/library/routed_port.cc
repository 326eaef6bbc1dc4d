#include "library/routed_port.h"

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

uint32_t RoutedPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  const uint32_t first = out.count;
  const uint32_t received = port_.Receive(out, counters);
  if (table_ == nullptr) return received;
  for (uint32_t i = first; i < out.count; ++i) {
    const fwd::Peer* peer = FindPeer(*table_, *out.items[i]);
    if (peer == nullptr) continue;
    std::memcpy(out.items[i]->data, peer->vtep_mac, net::kMacBytes);
    std::memcpy(out.items[i]->data + net::kEtherSource, table_->vtep_mac(), net::kMacBytes);
  }
  return received;
}

}  // namespace library
