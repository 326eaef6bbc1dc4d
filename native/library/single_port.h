// A port whose packets are single and whole when they come in: super-packets are cut and checksums
// filled right behind it. For who looks at packets itself, or bridges them. Owner: whoever holds
// the port; its thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace library {

class SinglePort final : public port::Port {
 public:
  static base::Result<std::unique_ptr<SinglePort>> Wrap(std::unique_ptr<port::Port> port);
  ~SinglePort() override;

  const char* kind() const override { return port_->kind(); }
  std::string description() const override { return port_->description(); }
  port::Capabilities capabilities() const override { return port_->capabilities(); }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override {
    port_->Transmit(batch, counters);
  }
  void Flush() override { port_->Flush(); }
  int wait_fd() const override { return port_->wait_fd(); }
  port::Statistics statistics() const override { return port_->statistics(); }

  // Every packet that comes out stands in a frame of this pool.
  pkt::FramePool& pool() { return *pool_; }

 private:
  SinglePort(std::unique_ptr<port::Port> port, std::unique_ptr<pkt::FramePool> pool);
  class Backlog final : public pkt::Drain {
   public:
    explicit Backlog(uint32_t frames) { packets.reserve(frames); }
    void Take(pkt::Batch& batch) override {
      packets.insert(packets.end(), batch.begin(), batch.end());  // Never more than the pool has.
      batch.Clear();
    }
    std::vector<pkt::Packet*> packets;
  };
  void Break(pkt::Packet* packet, pkt::LaneCounters& counters);
  void Copy(pkt::Packet* packet, pkt::LaneCounters& counters);

  std::unique_ptr<port::Port> port_;
  std::unique_ptr<pkt::FramePool> pool_;
  pkt::Batch received_;
  Backlog backlog_;
  uint32_t next_ = 0;  // Of the backlog, which empties before the port is read again.
};

}  // namespace library
