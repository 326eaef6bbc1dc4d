// The way of an overlay's packets up to the program and back: what the worker cannot decide goes to
// the program through a bounded ring (one end of a memory port; the program holds the other), and
// what the program sends comes back to be carried. A program that does not keep up costs the
// packet, counted, never time. Owner: a network; its worker's thread only.
//
// The law: rx_packets = tx_packets + sum(drops); rx is what the lanes punted.
#pragma once

#include <memory>

#include "capture/tap.h"
#include "engine/port_drain.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace library {

class Punts {
 public:
  Punts(std::unique_ptr<port::Port> ring, pkt::FramePool& segments)
      : ring_(std::move(ring)),
        drain_(*ring_, segments, counters_, true, no_tap_, capture::Point::kOverlay) {}
  Punts(const Punts&) = delete;
  Punts& operator=(const Punts&) = delete;

  // Super-packets go up as their segments, checksums filled.
  pkt::Drain& drain() { return drain_; }
  pkt::Outbox& outbox() { return outbox_; }
  // Wakes the program, if there is something new.
  void Flush() { ring_->Flush(); }

  // What the program has sent, into an empty batch. To be called before the table is adopted.
  uint32_t TakeBack(pkt::Batch& batch) { return ring_->Receive(batch, counters_); }

  int wait_fd() const { return ring_->wait_fd(); }
  const pkt::LaneCounters& counters() const { return counters_; }

 private:
  std::unique_ptr<port::Port> ring_;
  pkt::LaneCounters counters_;
  capture::Tap no_tap_;  // They were captured when they came in.
  engine::PortDrain drain_;
  pkt::Outbox outbox_{drain_};
};

}  // namespace library
