// In a routed (L3) overlay frames get the MAC addresses that the far VTEP wants, by the inner
// destination, so that whatever stands behind the overlay port need know nothing but IP. Pure.
// Thread: a worker.
#pragma once

#include "fwd/snapshot.h"
#include "pkt/batch.h"

namespace library {

// Leaves alone what no peer of the table holds.
void AddressFrames(const fwd::Snapshot& table, pkt::Batch& batch);

}  // namespace library
