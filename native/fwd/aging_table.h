// What was seen lately, and what is known of it. Of fixed size: four ways a bucket, and a bucket
// that is full gives up what was seen longest ago, so that a flood of made-up keys cannot grow it.
// Pure; time comes in as a number. Owner: one worker; its thread only.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace fwd {

enum class Learned : uint8_t { kKnown, kNew, kMoved, kEvicted };

// Hash: uint64_t(const Key&, uint64_t salt).
template <typename Key, typename Value, typename Hash>
class AgingTable {
 public:
  struct Entry {
    Key key{};
    uint64_t seen_ns = 0;
    Value value{};
    bool used = false;
  };

  // At least `entries_max` entries, rounded up. One not seen for `aging_ns` is unknown.
  AgingTable(uint32_t entries_max, uint64_t aging_ns, uint64_t salt)
      : aging_ns_(aging_ns),
        salt_(salt),
        buckets_(std::bit_ceil((entries_max + kWays - 1) / kWays)) {}

  // nullptr: unknown.
  const Entry* Find(const Key& key, uint64_t now_ns) const {
    for (const Entry& entry : buckets_[Index(key)]) {
      if (entry.used && entry.key == key) return Fresh(entry, now_ns) ? &entry : nullptr;
    }
    return nullptr;
  }
  // The same, and it was seen now.
  const Entry* See(const Key& key, uint64_t now_ns) {
    auto* entry = const_cast<Entry*>(Find(key, now_ns));
    if (entry != nullptr) entry->seen_ns = now_ns;
    return entry;
  }

  // kMoved: another value was known. kEvicted: learned, at the price of another key.
  Learned Learn(const Key& key, const Value& value, uint64_t now_ns) {
    std::array<Entry, kWays>& bucket = buckets_[Index(key)];
    Entry* place = &bucket[0];
    for (Entry& entry : bucket) {
      if (entry.used && entry.key == key) {
        const bool moved = entry.value != value && Fresh(entry, now_ns);
        entry.value = value;
        entry.seen_ns = now_ns;
        return moved ? Learned::kMoved : Learned::kKnown;
      }
      if (entry.seen_ns < place->seen_ns) place = &entry;  // Empty ones were never seen.
    }
    const bool evicted = place->used && Fresh(*place, now_ns);
    *place = {key, now_ns, value, true};
    return evicted ? Learned::kEvicted : Learned::kNew;
  }

  // Calls with every fresh entry.
  template <typename Visit>
  void ForEach(uint64_t now_ns, Visit visit) const {
    for (const auto& bucket : buckets_) {
      for (const Entry& entry : bucket) {
        if (entry.used && Fresh(entry, now_ns)) visit(entry);
      }
    }
  }

  uint32_t capacity() const { return static_cast<uint32_t>(buckets_.size()) * kWays; }

 private:
  static constexpr uint32_t kWays = 4;

  uint64_t Index(const Key& key) const { return Hash()(key, salt_) & (buckets_.size() - 1); }
  bool Fresh(const Entry& entry, uint64_t now_ns) const {
    return now_ns - entry.seen_ns < aging_ns_;
  }

  uint64_t aging_ns_;
  uint64_t salt_;
  std::vector<std::array<Entry, kWays>> buckets_;
};

}  // namespace fwd
