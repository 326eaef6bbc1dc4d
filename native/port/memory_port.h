// Two ports joined back to back in one process: what one transmits the other receives. For tests
// and the library. Each end has its own frame pool and may be run by its own thread. Thread: one
// worker per end; OpenPair on any thread.
//
// The receiving end posts empty frames and the sending end copies into them, as AF_XDP does: no
// frame ever changes pools, and a receiver that does not keep up makes the sender drop (kTxFull),
// never block or grow.
//
//   pool of B --- fill ring ---> A copies --- ready ring ---> B receives
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/spsc_ring.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace port {

struct MemoryOptions {
  std::string name = "memory";
  uint32_t frames = 512;        // Per end.
  uint32_t frame_bytes = 2048;  // 34 * 2048 holds any super-packet.
  uint32_t ring_packets =
      256;                    // Packets in flight per direction; a power of two, fewer than frames.
  Capabilities capabilities;  // What both ends accept; frame_bytes_max 0 means: what fits a frame.
};

class MemoryPort final : public Port {
 public:
  static base::Result<std::pair<std::unique_ptr<MemoryPort>, std::unique_ptr<MemoryPort>>> OpenPair(
      const MemoryOptions& options);
  ~MemoryPort() override;

  const char* kind() const override { return "memory"; }
  std::string description() const override { return name_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  void Flush() override;
  int wait_fd() const override { return receiving_->event.get(); }

  pkt::FramePool& pool() { return *pool_; }

 private:
  using Ring = base::SpscRing<pkt::Packet*>;
  // One direction. Shared, so that either end may go first; the receiver's pool goes with it.
  struct Direction {
    explicit Direction(uint32_t size) : fill(size), ready(size) {}
    std::unique_ptr<pkt::FramePool> pool;
    base::UniqueFd event;
    Ring fill;
    Ring ready;
    alignas(64) std::atomic<bool> receiver_gone{false};
  };

  MemoryPort(std::string name, const Capabilities& capabilities, uint32_t ring_packets,
             std::shared_ptr<Direction> receiving, std::shared_ptr<Direction> sending);
  void PostFrames();
  pkt::Packet* TakeFarFrame();

  std::string name_;
  Capabilities capabilities_;
  uint32_t ring_packets_;
  uint32_t outstanding_ = 0;  // Own frames in the two rings of receiving_.
  std::shared_ptr<Direction> receiving_;
  std::shared_ptr<Direction> sending_;
  pkt::FramePool* pool_;  // receiving_->pool: frames that this end hands out.
  bool sent_ = false;     // Since the last Flush: the other end must be woken.
};

}  // namespace port
