// What a bridged overlay has learned: which node a MAC address was last seen at. Owner: one worker;
// its thread only.
#pragma once

#include <cstdint>

#include "fwd/aging_table.h"
#include "net/ethernet.h"
#include "net/flow_hash.h"

namespace fwd {

struct MacHash {
  uint64_t operator()(uint64_t mac, uint64_t salt) const { return net::MixHash(mac, salt); }
};

// Key: net::MacKey. Value: a peer's id, which outlives a table, or kHere.
class Fdb {
  using Table = AgingTable<uint64_t, uint32_t, MacHash>;

 public:
  static constexpr uint32_t kUnknown = 0xffffffff;
  static constexpr uint32_t kHere = 0xfffffffe;  // Behind the overlay port.

  struct Entry {
    uint64_t mac;
    uint32_t node;
  };
  using Learned = fwd::Learned;

  Fdb(uint32_t entries_max, uint64_t aging_ns, uint64_t salt)
      : table_(entries_max, aging_ns, salt) {}

  uint32_t Find(uint64_t mac, uint64_t now_ns) const {
    const Table::Entry* entry = table_.Find(mac, now_ns);
    return entry == nullptr ? kUnknown : entry->value;
  }
  Learned Learn(uint64_t mac, uint32_t node, uint64_t now_ns) {
    return table_.Learn(mac, node, now_ns);
  }
  template <typename Visit>
  void ForEach(uint64_t now_ns, Visit visit) const {
    table_.ForEach(now_ns, [&visit](const Table::Entry& entry) {
      visit(Entry{entry.key, entry.value});
    });
  }
  uint32_t capacity() const { return table_.capacity(); }

 private:
  Table table_;
};

}  // namespace fwd
