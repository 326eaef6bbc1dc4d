// The end of a lane: brings packets into a shape the port accepts (segments, fills checksums), then
// transmits them in order. Owner: a lane; its worker's thread only.
#pragma once

#include "capture/tap.h"
#include "engine/peer_traffic.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace engine {

class PortDrain final : public pkt::Drain {
 public:
  // `segments`: where cut segments go unless the port has a pool of its own.
  // `received`: packets pushed here count as rx_* of `counters` too (for lanes whose packets were
  // not received from a port, so that the accounting law holds for them).
  // `tap`, `point`: where a capture sees what leaves here.
  // `traffic`: counts it by peer; null where packets have none.
  PortDrain(port::Port& port, pkt::FramePool& segments, pkt::LaneCounters& counters, bool received,
            capture::Tap& tap, capture::Point point, PeerTraffic* traffic = nullptr);
  void Take(pkt::Batch& batch) override;

 private:
  // Segments go straight to the port: they need nothing more.
  class Transmit final : public pkt::Drain {
   public:
    Transmit(port::Port& port, pkt::LaneCounters& counters) : port_(port), counters_(counters) {}
    void Take(pkt::Batch& batch) override { port_.Transmit(batch, counters_); }

   private:
    port::Port& port_;
    pkt::LaneCounters& counters_;
  };

  bool MustSegment(const pkt::Packet& packet) const;
  bool MustFillChecksum(const pkt::Packet& packet) const;

  pkt::FramePool& segments_;
  pkt::LaneCounters& counters_;
  port::Capabilities can_;
  capture::Tap& tap_;
  capture::Point point_;
  PeerTraffic* traffic_;
  bool received_;
  bool takes_everything_;
  Transmit transmit_;
  pkt::Outbox ready_{transmit_};
};

}  // namespace engine
