// How much went to or came from each peer, for `ripstop peers`. One per lane: written by its
// worker, read by anyone at any time. A peer's place follows from its id; a new peer in the place
// of one that is gone starts at zero. Ids grow by one, so two peers share a place only when more
// than kPlaces have come between them: then the newer packet's owner has it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "fwd/snapshot.h"
#include "pkt/batch.h"
#include "pkt/counters.h"

namespace engine {

class PeerTraffic {
 public:
  struct Totals {
    uint64_t packets = 0, bytes = 0, last_ns = 0;
    Totals& operator+=(const Totals& other) {
      packets += other.packets;
      bytes += other.bytes;
      last_ns = std::max(last_ns, other.last_ns);
      return *this;
    }
  };

  // Worker thread: which table the next packets' `peer` counts in, and the time of the round.
  void Begin(const fwd::Snapshot& table, uint64_t now_ns) {
    peers_ = table.peers().data();
    now_ns_ = now_ns;
  }
  void Count(pkt::Batch& batch) {
    for (const pkt::Packet* packet : batch) {
      const fwd::Peer& peer = peers_[packet->peer];
      Place& place = places_[peer.id % kPlaces];
      const uint64_t key = KeyOf(peer.id, net::MacKey(peer.vtep_mac));
      if (place.key.load(std::memory_order_relaxed) != key) [[unlikely]]
        place.Restart(key);
      place.packets.Add(packet->segments);
      place.bytes.Add(packet->len);
      place.last_ns.store(now_ns_, std::memory_order_relaxed);
    }
  }

  Totals Read(uint32_t id, uint64_t mac_key) const {
    const Place& place = places_[id % kPlaces];
    if (place.key.load(std::memory_order_acquire) != KeyOf(id, mac_key)) return {};
    return {place.packets.Read(), place.bytes.Read(),
            place.last_ns.load(std::memory_order_relaxed)};
  }

 private:
  static constexpr uint32_t kPlaces = 2 * fwd::kPeersMax;

  struct Place {
    std::atomic<uint64_t> key{0};
    pkt::Counter packets, bytes;
    std::atomic<uint64_t> last_ns{0};

    void Restart(uint64_t new_key) {
      packets.Reset();
      bytes.Reset();
      key.store(new_key, std::memory_order_release);
    }
  };

  // Another agent may give the id to another peer; the MAC tells them apart. Never 0.
  static uint64_t KeyOf(uint32_t id, uint64_t mac_key) {
    return mac_key | uint64_t{id} << 48 | uint64_t{1} << 63;
  }

  const fwd::Peer* peers_ = nullptr;
  uint64_t now_ns_ = 0;
  std::unique_ptr<Place[]> places_ = std::make_unique<Place[]>(kPlaces);
};

}  // namespace engine
