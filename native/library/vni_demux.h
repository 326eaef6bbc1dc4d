// One underlay port shared by several overlays: what comes in is sorted by VNI, what goes out is
// passed on. Owner: a fabric; its worker's thread only, except attaching and detaching, which
// happen while the worker is stopped.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "port/port.h"

namespace library {

// An overlay's share of the underlay, a port like any other to its lanes.
class VniPort final : public port::Port {
 public:
  VniPort(port::Port& underlay, uint32_t vni) : underlay_(underlay), vni_(vni) {}
  ~VniPort() override;

  const char* kind() const override { return underlay_.kind(); }
  std::string description() const override { return underlay_.description(); }
  port::Capabilities capabilities() const override { return underlay_.capabilities(); }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override {
    underlay_.Transmit(batch, counters);
  }
  pkt::FramePool* transmit_pool() override { return underlay_.transmit_pool(); }
  int wait_fd() const override { return underlay_.wait_fd(); }

  uint32_t vni() const { return vni_; }
  pkt::Batch& inbox() { return inbox_; }

 private:
  port::Port& underlay_;
  uint32_t vni_;
  pkt::Batch inbox_;  // Sorted here, received in the same round.
};

class VniDemux {
 public:
  explicit VniDemux(port::Port& underlay)
      : underlay_(underlay), wire_max_(underlay.capabilities().frame_bytes_max - 14) {}

  void Attach(VniPort* port) { ports_.push_back(port); }
  void Detach(const VniPort* port) { std::erase(ports_, port); }

  // One burst into the inboxes, which must be empty; returns the frames received.
  uint32_t Pull();
  // What no overlay got: received and dropped here.
  const pkt::LaneCounters& strays() const { return strays_; }

 private:
  VniPort* Find(uint32_t vni);

  port::Port& underlay_;
  uint32_t wire_max_;            // The underlay's MTU.
  std::vector<VniPort*> ports_;  // Few; the last one found is asked first.
  VniPort* last_ = nullptr;
  pkt::Batch batch_;
  pkt::LaneCounters strays_;
};

}  // namespace library
