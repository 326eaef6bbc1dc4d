// A lane: one direction of one worker, from the receiving port through the path to the transmitting
// port. Owner: a worker; its thread only. Lanes do not know which kind of port stands at either
// end.
#pragma once

#include "capture/tap.h"
#include "engine/port_drain.h"
#include "path/context.h"
#include "path/reply_limiter.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace engine {

// A drain that keeps what it takes, at most one batch.
class GatherDrain final : public pkt::Drain {
 public:
  void Take(pkt::Batch& batch) override;
  pkt::Batch& batch() { return batch_; }

 private:
  pkt::Batch batch_;
};

// Overlay -> underlay. Replies and punts go back to the overlay port, counted in `answers`.
class EncapLane {
 public:
  // `big`: frames for super-packets, used when the underlay port takes encapsulated ones.
  // `unknown`: takes what no peer holds, which is answered or dropped otherwise, and all punts.
  // `lanes`: of this kind, which divide what may be answered.
  EncapLane(port::Port& overlay, port::Port& underlay, pkt::FramePool& segments,
            pkt::FramePool& big, capture::Tap& tap, pkt::Drain* unknown = nullptr,
            uint32_t lanes = 1);
  // One burst; returns the frames received.
  uint32_t Run(const fwd::Snapshot* table, uint64_t now_ns);
  // The two halves of Run, for whoever adopts the table between them.
  uint32_t Receive();
  pkt::Batch& received() { return batch_; }
  void RunReceived(const fwd::Snapshot* table, uint64_t now_ns);
  // For packets that have been at `unknown` and come back: they are not punted again.
  void RunAgain(pkt::Batch& batch, const fwd::Snapshot* table, uint64_t now_ns);
  void End();  // After the last round: what the port still holds is counted.
  const pkt::LaneCounters& counters() const { return counters_; }
  const pkt::LaneCounters& answers() const { return answers_; }
  const PeerTraffic& traffic() const { return traffic_; }

 private:
  void Enter(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns, bool punts_unknown);
  void Carry(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns, bool punts_unknown);

  port::Port& overlay_;
  pkt::FramePool& segments_;
  pkt::FramePool& big_;
  capture::Tap& tap_;
  const bool coalesces_;  // The underlay port takes encapsulated super-packets,
  const bool udp_;        // UDP ones among them.
  PeerTraffic traffic_;
  pkt::LaneCounters counters_;
  pkt::LaneCounters answers_;
  path::ReplyLimiter limiter_;
  PortDrain forward_drain_;
  PortDrain reply_drain_;
  PortDrain punt_drain_;
  GatherDrain gather_;
  pkt::Outbox gathered_{gather_};
  pkt::Batch batch_;
  pkt::Outbox forward_{forward_drain_};
  pkt::Outbox reply_{reply_drain_};
  pkt::Outbox punt_;
  const bool punts_unknown_;
};

// Between decap and the overlay port: neighbouring segments of one flow leave as one super-packet.
class CoalesceDrain final : public pkt::Drain {
 public:
  // `udp`: the next port takes UDP super-packets too.
  CoalesceDrain(pkt::Drain& next, pkt::FramePool& big, pkt::LaneCounters& counters, bool udp)
      : big_(big), counters_(counters), udp_(udp), out_(next) {}
  void Take(pkt::Batch& batch) override;

 private:
  pkt::FramePool& big_;
  pkt::LaneCounters& counters_;
  bool udp_;
  pkt::Outbox out_;
};

// Underlay -> overlay. `big`: frames for super-packets, used when the underlay port hands over
// single packets and the overlay port takes super-packets.
class DecapLane {
 public:
  DecapLane(port::Port& underlay, port::Port& overlay, pkt::FramePool& segments,
            pkt::FramePool& big, capture::Tap& tap);
  uint32_t Run(const fwd::Snapshot* table, uint64_t now_ns);
  void End();
  const pkt::LaneCounters& counters() const { return counters_; }
  const PeerTraffic& traffic() const { return traffic_; }

 private:
  void Carry(pkt::Batch& batch, const fwd::Snapshot& table, uint64_t now_ns);

  port::Port& underlay_;
  pkt::FramePool& segments_;
  capture::Tap& tap_;
  PeerTraffic traffic_;
  pkt::LaneCounters counters_;
  path::ReplyLimiter limiter_;
  PortDrain deliver_drain_;
  CoalesceDrain coalesce_drain_;
  pkt::Batch batch_;
  pkt::Outbox deliver_;
};

}  // namespace engine
