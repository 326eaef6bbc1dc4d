// Reads the flat table that TypeScript hands over and checks every field of it. Control thread;
// pure. Nothing is built from a table before all of it was found right: a bad record can never
// become half a snapshot.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "fwd/snapshot.h"
#include "fwd/table_format.h"

namespace fwd {

struct DecodedTable {
  TableHeader header;
  std::vector<PrefixRecord> prefixes;
  std::vector<PeerRecord> peers;
};

base::Result<DecodedTable> Decode(std::span<const uint8_t> table, const Format& format);

}  // namespace fwd
