// One overlay of a fabric: its own VNI, table, overlay port and counters; its share of the underlay
// port. Owner: a fabric. Run: the fabric's worker; everything else: the control thread, and Fdb()
// only while the worker is stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/tap.h"
#include "engine/lane.h"
#include "fwd/fdb.h"
#include "fwd/publisher.h"
#include "library/exchange.h"
#include "library/flow_gate.h"
#include "library/punts.h"
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
  // What of the overlay's own packets goes up to the program (library/punts.h).
  enum class Punt : uint8_t { kNothing, kUnknownDestinations, kUnknownFlows };
  Punt punt = Punt::kNothing;
  uint32_t flow_entries = 4096;
  uint64_t flow_idle_ns = 60'000'000'000ULL;
};

class Network {
 public:
  // `punts`: the worker's end of the ring to the program; none when nothing is punted.
  static base::Result<std::unique_ptr<Network>> Create(const NetworkOptions& options,
                                                       OpenedPort overlay, OpenedPort punts,
                                                       port::Port& underlay);
  ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  base::Status Apply(std::span<const uint8_t> table);
  // Both directions once, with what the demultiplexer has put into share(); returns the frames
  // moved.
  uint32_t Run(uint64_t now_ns);
  // Before the worker sleeps or ends.
  void Leave() { publisher_.Leave(0); }

  // What becomes of the flow that this frame belongs to. False: nobody asked for flows, it has
  // none, or too many verdicts wait.
  bool Decide(std::span<const uint8_t> frame, fwd::FlowVerdict verdict);

  // Where somebody may capture: both sides, and what a routed overlay drops.
  capture::Tap& tap() { return tap_; }

  VniPort& share() { return share_; }
  port::Port& overlay() { return *overlay_; }
  // What else the worker waits for; -1 when nothing is punted.
  int punts_wait_fd() const { return punts_ ? punts_->wait_fd() : -1; }
  const NetworkOptions& options() const { return options_; }
  uint64_t table_version() const { return table_version_; }
  uint32_t peers() const { return peers_; }
  const fwd::Fdb& fdb() const { return fdb_; }

  // "encap.*", "decap.*", "answer.*" as a data plane names them, then "punt.*" and "bridge.*".
  static const std::vector<std::string>& CounterNames();
  void ReadCounters(uint64_t* into) const;

 private:
  Network(const NetworkOptions& options, OpenedPort overlay, OpenedPort punts, port::Port& underlay,
          std::unique_ptr<pkt::FramePool> segments, std::unique_ptr<pkt::FramePool> big);
  void RunRouted(uint32_t out, const fwd::Snapshot* table, uint64_t now_ns);
  void RunBridged(uint32_t out, const fwd::Snapshot* table, uint64_t now_ns);
  void BridgeOut(pkt::Batch& batch, const fwd::Snapshot* table, uint64_t now_ns, pkt::Outbox* punt);
  port::Port& Prepare(OpenedPort punts);
  bool punts_unknown() const {
    return punts_ && options_.punt == NetworkOptions::Punt::kUnknownDestinations;
  }

  NetworkOptions options_;
  uint64_t salt_;
  std::unique_ptr<pkt::FramePool> segments_;
  std::unique_ptr<pkt::FramePool> big_;
  std::unique_ptr<port::Port> overlay_;
  VniPort share_;
  fwd::Publisher publisher_{1};
  uint64_t table_version_ = 0;
  uint32_t peers_ = 0;
  std::optional<Punts> punts_;
  std::optional<FlowGate> gate_;
  pkt::Batch again_;    // Back from the program.
  port::Port& inside_;  // Where this side's packets come from: the overlay port, and what stands
                        // before it.

  // Routed.
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
