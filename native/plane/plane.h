// A whole data plane: ports, steering, workers, table. Native's composition root; native/addon
// wraps it for Node and tests use it directly. All calls on one control thread. The five verbs of
// the border are its methods.
//
// Members stand in the order in which they are built; destruction runs backwards: workers stop
// before their ports close, steering lets go before anything else (Close), and snapshots outlive
// the workers that read them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/session.h"
#include "engine/options.h"
#include "engine/path_mtu_listener.h"
#include "engine/worker.h"
#include "fwd/publisher.h"
#include "plane/choose_ports.h"
#include "port/port.h"
#include "steer/steering.h"

namespace plane {

struct PortInspection {
  const char* side;
  std::string kind;
  std::string description;
  std::string reason;
  uint64_t rx_kernel_drops;
};

// One port of one worker; what the worker's lanes count stands in its counters.
struct WorkerPort {
  const char* side;
  std::string kind;
  port::Statistics statistics;
  std::vector<port::QueueState> queues;
};

struct WorkerInspection {
  double heartbeat_age_ms;
  uint32_t frames_total;
  uint32_t frames_free;
  std::vector<WorkerPort> ports;
};

struct Inspection {
  bool running;
  uint64_t table_version;
  uint32_t peers;
  std::vector<PortInspection> ports;
  const char* steering;
  double heartbeat_age_ms;
  uint32_t workers;
  uint64_t frames_total;
  uint64_t frames_free;
  std::vector<WorkerInspection> per_worker;
  std::string path_mtu_listener;  // "on", or why not.
  engine::PathMtuListener::Seen path_mtu;
};

class Plane {
 public:
  // Opens ports and, for VXLAN, starts the workers; no traffic is steered until the first Apply.
  static base::Result<std::unique_ptr<Plane>> Open(const engine::Options& options);
  ~Plane();
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  // Replaces the peer table (fwd/table_format.h). The first success attaches the steering programs.
  base::Status Apply(std::span<const uint8_t> table);
  // Names in order: of lanes, then of ports. ReadCounters fills as many values in the same order,
  // summed over workers; into an array 1 + workers times as long it writes the sums, then the same
  // of each worker alone.
  static const std::vector<std::string>& CounterNames();
  uint32_t workers() const { return options_.workers; }
  void ReadCounters(std::span<uint64_t> into) const;
  Inspection Inspect() const;
  struct PeerTotals {
    uint32_t id;
    engine::PeerTraffic::Totals sent, received;
  };
  // Of the peers in the newest table, since the data plane was opened.
  std::vector<PeerTotals> ReadPeers() const;
  // Copies of packets for somebody who looks; at most one capture at a time, the last asked for.
  base::Status CaptureStart(const capture::Request& request);
  struct Captured {
    uint32_t bytes;    // Whole records (capture/session.h) now in `into`.
    uint64_t matched;  // Packets that the filter let through since the start.
    uint64_t lost;     // Of those, the ones that found the ring full.
  };
  Captured CaptureRead(std::span<uint8_t> into);
  void CaptureStop();
  // Idempotent. Steering lets go first, so that from that moment packets take the kernel path; what
  // the ports hold is still carried, then workers and ports end.
  void Close();

 private:
  explicit Plane(const engine::Options& options)
      : options_(options), publisher_(options.workers), scratch_(CounterNames().size()) {}
  base::Status Attach();
  void Drain();
  void AddRefused(uint64_t* encap) const;
  uint64_t FramesReceived() const;
  uint64_t FramesPending() const;
  base::Status MakeWorkers();
  base::Status StartWorkers();
  base::Status TakeOver();
  // Everything but liveness, before a program may look.
  void FillSteeringState();

  engine::Options options_;
  Devices devices_;
  std::unique_ptr<steer::Steering> steering_;  // nullptr for the udp format.
  Ports ports_;
  fwd::Publisher publisher_;
  std::unique_ptr<engine::PathMtuListener> path_mtus_;  // nullptr: why stands beside.
  std::string path_mtus_missing_;
  std::vector<std::unique_ptr<engine::Worker>> workers_;
  mutable std::vector<uint64_t> scratch_;  // Of ReadCounters, which must not allocate.
  bool attached_ = false;
  bool closed_ = false;
  uint64_t table_version_ = 0;
  uint32_t peers_ = 0;
  struct PeerKey {
    uint32_t id;
    uint64_t mac_key;
  };
  std::vector<PeerKey> peer_keys_;  // Of the newest table.
};

}  // namespace plane
