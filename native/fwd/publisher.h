// Swaps snapshots under running workers. One control thread publishes; each worker announces once a
// round that it holds nothing from before (quiescent-state reclamation). Nobody locks on the packet
// path.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "fwd/snapshot.h"

namespace fwd {

inline constexpr uint32_t kWorkersMax = 16;

class Publisher {
 public:
  explicit Publisher(uint32_t workers);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Control thread. Makes `next` current and frees every earlier snapshot that no worker can still
  // hold.
  void Publish(std::unique_ptr<const Snapshot> next);
  // Control thread. Frees what has become free since; returns how many old snapshots are still
  // held.
  uint32_t Reclaim();
  // Control thread. Whether every worker holds the latest snapshot or nothing: false while one that
  // looked before Publish may still carry by what it saw then.
  bool Settled() const;

  // Worker thread, at a batch edge: the current snapshot (nullptr before the first Publish), valid
  // until the next call by the same worker or its Leave.
  const Snapshot* Adopt(uint32_t worker);
  // Worker thread, before it sleeps or ends: it holds nothing until the next Adopt.
  void Leave(uint32_t worker);

 private:
  struct alignas(64) Seat {
    std::atomic<uint64_t> epoch{0};  // 0: holds nothing.
    const Snapshot* held = nullptr;  // Its worker's alone.
  };
  struct Retired {
    std::unique_ptr<const Snapshot> snapshot;
    uint64_t epoch;
  };
  uint32_t workers_;
  std::atomic<const Snapshot*> current_{nullptr};
  std::atomic<uint64_t> epoch_{1};
  std::array<Seat, kWorkersMax> seats_;
  std::unique_ptr<const Snapshot> owned_;  // What current_ points to.
  std::vector<Retired> retired_;
};

}  // namespace fwd
