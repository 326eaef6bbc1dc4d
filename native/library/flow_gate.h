// The overlay port of a network whose program decides about flows: packets of a flow that it has
// allowed pass, those of one that it has denied are dropped, and the first packets of any other are
// punted to it. Owner: a network. Thread: Decide on the control thread, the rest on the worker.
#pragma once

#include <string>

#include "base/spsc_ring.h"
#include "fwd/flow_table.h"
#include "library/punts.h"
#include "port/port.h"

namespace library {

class FlowGate final : public port::Port {
 public:
  static constexpr uint32_t kVerdictsWaiting = 1024;

  // `idle_ns`: a verdict on a flow that was not seen for so long is forgotten.
  FlowGate(port::Port& port, Punts& punts, uint32_t flows_max, uint64_t idle_ns, uint64_t salt)
      : port_(port), punts_(punts), flows_(flows_max, idle_ns, salt) {}

  const char* kind() const override { return port_.kind(); }
  std::string description() const override { return port_.description(); }
  port::Capabilities capabilities() const override { return port_.capabilities(); }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override {
    port_.Transmit(batch, counters);
  }
  void Flush() override { port_.Flush(); }
  pkt::FramePool* transmit_pool() override { return port_.transmit_pool(); }
  int wait_fd() const override { return port_.wait_fd(); }

  // False: so many verdicts wait for the worker that this one found no place.
  bool Decide(const fwd::FlowKey& key, fwd::FlowVerdict verdict) {
    return verdicts_.Push({key, verdict});
  }
  // Once a round.
  void Begin(uint64_t now_ns) { now_ns_ = now_ns; }

 private:
  struct Decision {
    fwd::FlowKey key;
    fwd::FlowVerdict verdict = fwd::FlowVerdict::kDeny;
  };
  void Settle();
  bool Passes(pkt::Packet& packet, pkt::LaneCounters& counters);

  port::Port& port_;
  Punts& punts_;
  fwd::FlowTable flows_;
  base::SpscRing<Decision> verdicts_{kVerdictsWaiting};
  uint64_t now_ns_ = 0;
};

}  // namespace library
