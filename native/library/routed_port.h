// The overlay port of a routed (L3) overlay: frames get the MAC addresses that the far VTEP wants,
// by the inner destination, so that whatever stands behind the port need know nothing but IP.
// Owner: a network; its worker's thread only.
#pragma once

#include <memory>
#include <string>

#include "fwd/snapshot.h"
#include "port/port.h"

namespace library {

class RoutedPort final : public port::Port {
 public:
  explicit RoutedPort(port::Port& port) : port_(port) {}

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

  // The table in force this round; nullptr before the first one.
  void Follow(const fwd::Snapshot* table) { table_ = table; }

 private:
  port::Port& port_;
  const fwd::Snapshot* table_ = nullptr;
};

}  // namespace library
