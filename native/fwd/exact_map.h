// Exact match on a small key: open addressing, at most half full, one cache line a probe. Filled
// once, then immutable and shared by all workers. Keys come from leases that an attacker may write,
// hence the random salt per map.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "net/flow_hash.h"

namespace fwd {

// An IPv6 address as two machine words, as they lie in memory.
struct Key128 {
  uint64_t first = 0, second = 0;
  static Key128 Of(const uint8_t* address) {
    return {base::Load<uint64_t>(address), base::Load<uint64_t>(address + 8)};
  }
  bool operator==(const Key128&) const = default;
};

// Keys that count upwards, as MACs and addresses do, come out of one multiplication in rows, with
// some salts at least, and linear probing then walks along them: so a second one follows.
inline uint64_t HashKey(uint64_t key, uint64_t salt) {
  return net::MixHash(key, salt) * 0x9fb21c651e98df25 >> 32;
}
inline uint64_t HashKey(const Key128& key, uint64_t salt) {
  return HashKey(net::MixHash(key.first, salt), key.second);
}

template <typename Key>
class ExactMap {
 public:
  static constexpr uint32_t kAbsent = 0xffffffff;

  ExactMap() : ExactMap(0, 0) {}
  ExactMap(uint32_t entries_max, uint64_t salt)
      : salt_(salt), slots_(std::bit_ceil(2 * entries_max + 2)), mask_(slots_.size() - 1) {}

  uint32_t Find(const Key& key) const {
    const Slot* slots = slots_.data();
    for (uint64_t at = HashKey(key, salt_);; ++at) {
      const Slot& slot = slots[at & mask_];
      if (slot.value == kAbsent || slot.key == key) return slot.value;
    }
  }

  // Asks for the cache line that Find will read, some packets ahead of it.
  void Prefetch(const Key& key) const {
    __builtin_prefetch(slots_.data() + (HashKey(key, salt_) & mask_));
  }

  // The first value of a key stays. Returns the value that the map now holds for it.
  uint32_t Insert(const Key& key, uint32_t value) {
    for (uint64_t at = HashKey(key, salt_);; ++at) {
      Slot& slot = slots_[at & mask_];
      if (slot.value == kAbsent)
        slot = {key, value};
      else if (!(slot.key == key))
        continue;
      return slot.value;
    }
  }

  // Of a key that is there.
  void Replace(const Key& key, uint32_t value) {
    for (uint64_t at = HashKey(key, salt_);; ++at) {
      Slot& slot = slots_[at & mask_];
      RS_ASSERT(slot.value != kAbsent);
      if (!(slot.key == key)) continue;
      slot.value = value;
      return;
    }
  }

 private:
  struct Slot {
    Key key{};
    uint32_t value = kAbsent;
  };
  uint64_t salt_;
  std::vector<Slot> slots_;
  uint64_t mask_;  // slots_.size() is a power of two.
};

}  // namespace fwd
