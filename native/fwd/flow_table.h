// What a program has decided about flows. A flow is what its packets have in common: addresses,
// protocol and ports, or, of what is not IP, stations and type. Exact, not hashed: no two flows
// share a verdict. Owner: one worker; its thread only.
#pragma once

#include <array>
#include <cstdint>

#include "fwd/aging_table.h"
#include "net/flow_hash.h"

namespace fwd {

struct FlowKey {
  // Family, protocol, Ethernet type and ports; source; destination.
  std::array<uint64_t, 5> words{};
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

struct FlowHash {
  uint64_t operator()(const FlowKey& key, uint64_t salt) const {
    for (const uint64_t word : key.words) salt = net::MixHash(word, salt);
    return salt ^ salt >> 32;
  }
};

enum class FlowVerdict : uint8_t { kAllow, kDeny };

using FlowTable = AgingTable<FlowKey, FlowVerdict, FlowHash>;

}  // namespace fwd
