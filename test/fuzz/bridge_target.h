// The fuzz target of bridged overlays, a file of its own because it needs a table of its own: three
// nodes, one with a static address, over short paths. targets.h lists it.
#pragma once

#include "path/bridge.h"
#include "rig.h"

namespace fuzz {

struct BridgedNode {
  std::unique_ptr<const fwd::Snapshot> table;
  fwd::Fdb fdb{16, 1'000'000'000, 1};

  BridgedNode() {
    testing_node::TableBuilder builder(1);
    builder.AddPeer(2, 4, 4);
    builder.AddPeer(3, 4, 6);
    builder.AddPeer(4, 4, 4);
    for (fwd::PeerRecord& peer : builder.peers) {
      peer.prefix_family = 0;
      peer.prefix_length = 0;
      std::memset(peer.prefix, 0, sizeof peer.prefix);
    }
    std::memset(builder.peers[2].vtep_mac, 0, sizeof builder.peers[2].vtep_mac);
    fwd::Format format;
    format.bridged = true;
    format.underlay_mtu = Rig::kUnderlayMtu;
    table = builder.Build(format);
  }
};

// The first byte chooses the direction; what was learned stays from one input to the next.
inline void Bridge(const uint8_t* data, size_t size) {
  static BridgedNode node;
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  path::BridgeCounters bridge;
  Count out;
  const bool in = (input.Byte() & 1) != 0;
  pkt::Batch batch;
  batch.Push(rig.Packet(input, 65536));
  rig.now_ns += 10'000'000;
  const path::BridgeContext context{*node.table, node.fdb,  counters, bridge,
                                    rig.now_ns,  *rig.pool, true,     true};
  in ? path::BridgeIn(context, batch, out.box) : path::BridgeOut(context, batch, out.box);
  out.box.Flush();
  counters.rx_packets.Add(bridge.copies.Read());
  RS_ASSERT(!in || bridge.copies.Read() == 0);
  rig.CheckLaws(counters, out.segments);
}

}  // namespace fuzz
