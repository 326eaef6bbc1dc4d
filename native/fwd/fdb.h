// What a bridged overlay has learned: which node a MAC address was last seen at. Of fixed size:
// four ways a bucket, and a bucket that is full gives up what was seen longest ago, so that a flood
// of made-up addresses cannot grow it. Pure; time comes in as a number. Owner: one worker; its
// thread only.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "net/ethernet.h"
#include "net/flow_hash.h"

namespace fwd {

class Fdb {
 public:
  static constexpr uint32_t kUnknown = 0xffffffff;
  static constexpr uint32_t kHere = 0xfffffffe;  // Behind the overlay port.

  struct Entry {
    uint64_t mac = 0;  // net::MacKey; 0: empty, which no station may have.
    uint64_t seen_ns = 0;
    uint32_t node = kUnknown;  // A peer's id, which outlives a table, or kHere.
  };
  enum class Learned : uint8_t { kKnown, kNew, kMoved, kEvicted };

  // At least `entries_max` addresses, rounded up. An entry not seen for `aging_ns` is unknown.
  Fdb(uint32_t entries_max, uint64_t aging_ns, uint64_t salt)
      : aging_ns_(aging_ns),
        salt_(salt),
        buckets_(std::bit_ceil((entries_max + kWays - 1) / kWays)) {}

  uint32_t Find(uint64_t mac, uint64_t now_ns) const {
    for (const Entry& entry : Bucket(mac)) {
      if (entry.mac == mac) return Fresh(entry, now_ns) ? entry.node : kUnknown;
    }
    return kUnknown;
  }

  // kEvicted: learned, at the price of another address.
  Learned Learn(uint64_t mac, uint32_t node, uint64_t now_ns) {
    std::array<Entry, kWays>& bucket = buckets_[Index(mac)];
    Entry* place = &bucket[0];
    for (Entry& entry : bucket) {
      if (entry.mac == mac) {
        const bool moved = entry.node != node && Fresh(entry, now_ns);
        entry.node = node;
        entry.seen_ns = now_ns;
        return moved ? Learned::kMoved : Learned::kKnown;
      }
      if (entry.seen_ns < place->seen_ns) place = &entry;  // Empty ones were never seen.
    }
    const bool evicted = place->mac != 0 && Fresh(*place, now_ns);
    *place = {mac, now_ns, node};
    return evicted ? Learned::kEvicted : Learned::kNew;
  }

  // Calls with every fresh entry.
  template <typename Visit>
  void ForEach(uint64_t now_ns, Visit visit) const {
    for (const auto& bucket : buckets_) {
      for (const Entry& entry : bucket) {
        if (entry.mac != 0 && Fresh(entry, now_ns)) visit(entry);
      }
    }
  }

  uint32_t capacity() const { return static_cast<uint32_t>(buckets_.size()) * kWays; }

 private:
  static constexpr uint32_t kWays = 4;

  uint64_t Index(uint64_t mac) const { return net::MixHash(mac, salt_) & (buckets_.size() - 1); }
  const std::array<Entry, kWays>& Bucket(uint64_t mac) const { return buckets_[Index(mac)]; }
  bool Fresh(const Entry& entry, uint64_t now_ns) const {
    return now_ns - entry.seen_ns < aging_ns_;
  }

  uint64_t aging_ns_;
  uint64_t salt_;
  std::vector<std::array<Entry, kWays>> buckets_;
};

}  // namespace fwd
