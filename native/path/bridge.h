// A bridged (L2) overlay: whole Ethernet frames by destination MAC, whatever they carry. Where a
// MAC is, the peer table says (static entries) or its frames have taught; broadcast, multicast and
// unknown addresses go to every node, one copy each (head-end replication). Frames from a node
// never go to another node: every node reaches every other itself. Thread: a worker. Never
// allocates, blocks, logs or throws. Super-packets do not come here: a bridged overlay's port
// delivers single packets.
//
// The law of this direction counts copies:
//   out: rx_packets + copies = tx_packets + punts + sum(drops)
//   in:  rx_packets = tx_packets + sum(drops)
#pragma once

#include "fwd/fdb.h"
#include "fwd/snapshot.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace path {

// X(member, "name"), as RS_LANE_COUNTERS.
#define RS_BRIDGE_COUNTERS(X)                                                 \
  X(copies, "copies")   /* Frames made beside the original by replication. */ \
  X(flooded, "flooded") /* Frames that went to every node. */                 \
  X(learned, "learned") /* Addresses learned anew. */                         \
  X(moved, "moved")     /* Addresses learned at another place than before. */ \
  X(evicted, "evicted") /* Addresses forgotten early, because room was out. */

struct BridgeCounters {
#define X(member, name) pkt::Counter member;
  RS_BRIDGE_COUNTERS(X)
#undef X
};

struct BridgeContext {
  const fwd::Snapshot& table;
  fwd::Fdb& fdb;
  pkt::LaneCounters& counters;
  BridgeCounters& bridge;
  uint64_t now_ns;
  pkt::FramePool& frames;  // For copies.
  bool learns;
  bool floods;  // False: what has no entry is dropped as kNoPeer.
  // Out: where frames for a station go of which nobody knows where it is; nullptr: they are
  // flooded.
  pkt::Outbox* punt = nullptr;
};

// Overlay -> underlay. Takes every packet of `in` and leaves it empty: forwarded, or dropped and
// counted. rx_* is counted here.
void BridgeOut(const BridgeContext& context, pkt::Batch& in, pkt::Outbox& forward);

// Underlay -> overlay: the outer checks of path/decap.h, then learning and delivery.
void BridgeIn(const BridgeContext& context, pkt::Batch& in, pkt::Outbox& deliver);

}  // namespace path
