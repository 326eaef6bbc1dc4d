// Fuzz targets of what the library alone reads from frames: the flow that one belongs to, and the
// overlay of several on one underlay. targets.h lists them.
#pragma once

#include "library/vni_demux.h"
#include "path/flow_key.h"
#include "rig.h"

namespace fuzz {

// The key is of the frame and nothing else: the same for a copy elsewhere, and no view reaches
// beyond.
inline void FlowKey(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> frame(data, data + size);  // One byte too far is seen.
  const auto bytes = static_cast<uint32_t>(size);
  fwd::FlowKey key, again;
  path::IpView view, second;
  const bool read = path::ReadFlow(frame.data(), bytes, &key, &view);
  RS_ASSERT(read == path::ReadFlow(data, bytes, &again, &second));
  if (!read) return;
  RS_ASSERT(key == again && view.family == second.family);
  RS_ASSERT(view.family == 0 || (view.bytes <= bytes - net::kEthernetBytes && view.l4 <= bytes));
}

// An underlay that gives one packet.
class OnePacket final : public port::Port {
 public:
  const char* kind() const override { return "fuzz"; }
  std::string description() const override { return kind(); }
  port::Capabilities capabilities() const override {
    port::Capabilities capabilities;
    capabilities.frame_bytes_max = Rig::kUnderlayMtu + net::kEthernetBytes;
    return capabilities;
  }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters&) override {
    if (packet == nullptr) return 0;
    out.Push(std::exchange(packet, nullptr));
    return 1;
  }
  void Transmit(pkt::Batch& batch, pkt::LaneCounters&) override { pkt::GiveAll(batch); }
  int wait_fd() const override { return -1; }

  pkt::Packet* packet = nullptr;
};

// To one of two overlays or counted, with metadata that still agrees with the frame.
inline void VniDemux(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  OnePacket underlay;
  library::VniDemux demux(underlay);
  library::VniPort one(underlay, 1), other(underlay, 0xffffff);
  demux.Attach(&one);
  demux.Attach(&other);
  underlay.packet = rig.Packet(input, 65536);
  RS_ASSERT(demux.Pull() == 1);
  uint64_t sorted = 0;
  for (library::VniPort* port : {&one, &other}) {
    pkt::Batch batch;
    pkt::LaneCounters counters;
    sorted += port->Receive(batch, counters);
    for (const pkt::Packet* packet : batch)
      RS_ASSERT(packet->headroom() + packet->len <= packet->capacity && packet->segments != 0);
    pkt::GiveAll(batch);
  }
  RS_ASSERT(sorted + demux.strays().rx_packets.Read() == 1);
  uint64_t dropped = 0;
  for (const pkt::Counter& drop : demux.strays().drops) dropped += drop.Read();
  RS_ASSERT(dropped == demux.strays().rx_packets.Read());
  RS_ASSERT(rig.pool->available() == rig.pool->frames());
}

}  // namespace fuzz
