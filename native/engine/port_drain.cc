#include "engine/port_drain.h"

#include "path/segment.h"

namespace engine {

PortDrain::PortDrain(port::Port& port, pkt::FramePool& segments, pkt::LaneCounters& counters,
                     bool received, capture::Tap& tap, capture::Point point, PeerTraffic* traffic)
    : segments_(port.transmit_pool() != nullptr ? *port.transmit_pool() : segments),
      counters_(counters),
      can_(port.capabilities()),
      tap_(tap),
      point_(point),
      traffic_(traffic),
      received_(received),
      takes_everything_(can_.super_packets && can_.udp_super_packets && can_.tunnel_super_packets &&
                        can_.partial_checksum && can_.tunnel_partial_checksum),
      transmit_(port, counters) {}

bool PortDrain::MustSegment(const pkt::Packet& packet) const {
  if (!packet.super_packet()) return false;
  if (packet.inner_offset != 0) return !can_.tunnel_super_packets;
  return packet.gso == pkt::Gso::kUdp ? !can_.udp_super_packets : !can_.super_packets;
}

bool PortDrain::MustFillChecksum(const pkt::Packet& packet) const {
  if (packet.checksum != pkt::Checksum::kPartial) return false;
  return packet.inner_offset != 0 ? !can_.tunnel_partial_checksum : !can_.partial_checksum;
}

void PortDrain::Take(pkt::Batch& batch) {
  if (tap_.on(point_)) [[unlikely]]
    tap_.Record(batch, point_, capture::Direction::kOut);
  if (traffic_ != nullptr) traffic_->Count(batch);
  if (received_) {
    for (const pkt::Packet* packet : batch) {
      counters_.rx_packets.Add(packet->segments);
      counters_.rx_bytes.Add(packet->len);
      counters_.rx_frames.Add(1);
    }
  }
  if (takes_everything_) {
    transmit_.Take(batch);
    return;
  }
  for (pkt::Packet* packet : batch) {
    if (MustSegment(*packet)) {
      path::Segment(packet, segments_, ready_, counters_);
      continue;
    }
    if (MustFillChecksum(*packet)) path::FillChecksum(packet);
    ready_.Push(packet);
  }
  batch.Clear();
  ready_.Flush();
}

}  // namespace engine
