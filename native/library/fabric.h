// Overlays without a kernel device: one underlay port, one worker thread, any number of networks,
// each with a VNI of its own. For programs that embed Ripstop; an agent's data plane is
// plane/plane.h. Control thread: everything public. The worker is stopped for the moment in which
// the set of networks changes: packets wait in the ports.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "library/network.h"
#include "library/vni_demux.h"

namespace library {

class Fabric {
 public:
  // `resolves`: the underlay port finds next hops by itself; otherwise the tables name them.
  static base::Result<std::unique_ptr<Fabric>> Create(OpenedPort underlay, bool resolves = true);
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  // NETWORK_VNI_TAKEN when another network has the VNI.
  base::Result<Network*> Add(const NetworkOptions& options, OpenedPort overlay,
                             OpenedPort punts = {});
  // Drops what is in flight; the network is gone when it returns.
  void Remove(Network* network);
  // The learned addresses at one moment.
  std::vector<fwd::Fdb::Entry> ReadFdb(const Network& network);

  port::Port& underlay() { return *underlay_; }
  const pkt::LaneCounters& strays() const { return demux_.strays(); }
  double heartbeat_age_ms() const;

 private:
  Fabric(OpenedPort underlay, bool resolves, base::UniqueFd wake);
  void Start();
  void Stop();
  void Loop();
  void Sleep();

  std::unique_ptr<port::Port> underlay_;
  const bool resolves_;
  VniDemux demux_;
  std::vector<std::unique_ptr<Network>> networks_;
  base::UniqueFd wake_;  // eventfd: Stop interrupts Sleep.
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> beat_ns_{0};
  std::thread thread_;
};

}  // namespace library
