// Quiescent-state reclamation with one epoch a worker. Publish and Reclaim: control thread; the
// rest: workers.
#include "fwd/publisher.h"

#include <algorithm>

#include "base/assert.h"

namespace fwd {

Publisher::Publisher(uint32_t workers) : workers_(workers) { RS_ASSERT(workers <= kWorkersMax); }

Publisher::~Publisher() = default;

// A snapshot retired at epoch E may be held by a worker whose seat says less than E. A worker whose
// seat says E or more read the epoch after `current_` was replaced, so it cannot have loaded the
// old pointer afterwards.
void Publisher::Publish(std::unique_ptr<const Snapshot> next) {
  current_.store(next.get(), std::memory_order_seq_cst);
  const uint64_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
  if (owned_) retired_.push_back({std::move(owned_), epoch});
  owned_ = std::move(next);
  Reclaim();
}

uint32_t Publisher::Reclaim() {
  uint64_t oldest = UINT64_MAX;
  for (uint32_t worker = 0; worker < workers_; ++worker) {
    const uint64_t epoch = seats_[worker].epoch.load(std::memory_order_seq_cst);
    if (epoch != 0) oldest = std::min(oldest, epoch);
  }
  std::erase_if(retired_, [oldest](const Retired& retired) { return retired.epoch <= oldest; });
  return static_cast<uint32_t>(retired_.size());
}

bool Publisher::Settled() const {
  const uint64_t latest = epoch_.load(std::memory_order_seq_cst);
  for (uint32_t worker = 0; worker < workers_; ++worker) {
    const uint64_t epoch = seats_[worker].epoch.load(std::memory_order_seq_cst);
    if (epoch != 0 && epoch != latest) return false;
  }
  return true;
}

const Snapshot* Publisher::Adopt(uint32_t worker) {
  RS_ASSERT(worker < workers_);
  Seat& seat = seats_[worker];
  const uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
  // Nothing was published since: what this worker holds is still protected, and no fence is paid a
  // batch.
  if (seat.epoch.load(std::memory_order_relaxed) == epoch) return seat.held;
  // The seat must be visible before the pointer is read, or Reclaim could miss us between the two.
  seat.epoch.store(epoch, std::memory_order_seq_cst);
  seat.held = current_.load(std::memory_order_seq_cst);
  return seat.held;
}

void Publisher::Leave(uint32_t worker) {
  RS_ASSERT(worker < workers_);
  seats_[worker].held = nullptr;
  seats_[worker].epoch.store(0, std::memory_order_release);
}

}  // namespace fwd
