// One overlay of a fabric: its own VNI, table, overlay port and counters; its share of the underlay
// port. Owner: a fabric. Run: the fabric's worker; everything else: the control thread, and Fdb()
// only while the worker is stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/tap.h"
#include "engine/lane.h"
#include "fwd/fdb.h"
#include "fwd/publisher.h"
#include "library/exchange.h"
#include "library/routed_port.h"
#include "library/vni_demux.h"
#include "path/bridge.h"
#include "pkt/frame_pool.h"

namespace library {

struct NetworkOptions {
  fwd::Format format;  // VXLAN; `bridged` chooses the mode.
  bool learns = true;
  bool floods = true;
  uint32_t fdb_entries = 4096;
  uint64_t aging_ns = 300'000'000'000ULL;
};

class Network {
 public:
  static base::Result<std::unique_ptr<Network>> Create(const NetworkOptions& options,
                                                       OpenedPort overlay, port::Port& underlay);
  ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  base::Status Apply(std::span<const uint8_t> table);
  // Both directions once, with what the demultiplexer has put into share(); returns the frames
  // moved.
  uint32_t Run(uint64_t now_ns);
  // Before the worker sleeps or ends.
  void Leave() { publisher_.Leave(0); }

  // Where somebody may capture: both sides, and what a routed overlay drops.
  capture::Tap& tap() { return tap_; }

  VniPort& share() { return share_; }
  port::Port& overlay() { return *overlay_; }
  const NetworkOptions& options() const { return options_; }
  uint64_t table_version() const { return table_version_; }
  uint32_t peers() const { return peers_; }
  const fwd::Fdb& fdb() const { return fdb_; }

  // "encap.*", "decap.*", "answer.*" as a data plane names them, then "bridge.*".
  static const std::vector<std::string>& CounterNames();
  void ReadCounters(uint64_t* into) const;

 private:
  Network(const NetworkOptions& options, OpenedPort overlay, port::Port& underlay,
          std::unique_ptr<pkt::FramePool> segments, std::unique_ptr<pkt::FramePool> big);
  uint32_t RunBridged(const fwd::Snapshot* table, uint64_t now_ns);

  NetworkOptions options_;
  uint64_t salt_;
  std::unique_ptr<pkt::FramePool> segments_;
  std::unique_ptr<pkt::FramePool> big_;
  std::unique_ptr<port::Port> overlay_;
  VniPort share_;
  fwd::Publisher publisher_{1};
  uint64_t table_version_ = 0;
  uint32_t peers_ = 0;

  // Routed.
  RoutedPort routed_;
  capture::Tap tap_;
  engine::EncapLane encap_;
  engine::DecapLane decap_;

  // Bridged.
  fwd::Fdb fdb_;
  pkt::LaneCounters out_counters_;
  pkt::LaneCounters in_counters_;
  path::BridgeCounters bridge_counters_;
  engine::PortDrain to_underlay_;
  engine::PortDrain to_overlay_;
  pkt::Outbox forward_{to_underlay_};
  pkt::Outbox deliver_{to_overlay_};
  pkt::Batch batch_;
};

}  // namespace library
