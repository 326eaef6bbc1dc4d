#include "library/flow_gate.h"

#include "net/ethernet.h"
#include "path/flow_key.h"

namespace library {

// Takes over what was decided.
void FlowGate::Settle() {
  Decision decision;
  while (verdicts_.Pop(&decision)) flows_.Learn(decision.key, decision.verdict, now_ns_);
}

uint32_t FlowGate::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  const uint32_t first = out.count;
  const uint32_t received = port_.Receive(out, counters);
  Settle();  // After receiving: what was decided before a packet was sent is in force for it.
  uint32_t kept = first;
  for (uint32_t i = first; i < out.count; ++i) {
    pkt::Packet* packet = out.items[i];
    if (Passes(*packet, counters)) out.items[kept++] = packet;
  }
  out.count = kept;
  punts_.outbox().Flush();
  return received;
}

// False: the packet has ended here, or gone up. What is no whole packet passes: the path's own
// checks name the reason.
bool FlowGate::Passes(pkt::Packet& packet, pkt::LaneCounters& counters) {
  fwd::FlowKey key;
  path::IpView view;
  if (!path::ReadFlow(packet.data, packet.len, &key, &view)) return true;
  if (view.family != 0 && path::CheckOffload(packet, net::kEthernetBytes, view) != path::kPass)
    return true;
  const fwd::FlowTable::Entry* flow = flows_.See(key, now_ns_);
  if (flow != nullptr && flow->value == fwd::FlowVerdict::kAllow) return true;
  counters.rx_packets.Add(packet.segments);
  counters.rx_frames.Add(1);
  counters.rx_bytes.Add(packet.len);
  if (flow != nullptr) {
    counters.Drop(pkt::DropReason::kDenied, packet.segments);
    pkt::Give(&packet);
  } else {
    counters.punts.Add(packet.segments);
    punts_.outbox().Push(&packet);
  }
  return false;
}

}  // namespace library
