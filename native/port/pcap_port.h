// Files as a port: what is transmitted is written as pcapng (Wireshark and tcpdump read it), what
// is received is replayed from one. For tests and for looking at what the path does. Not for speed:
// one system call a packet. Thread: Open anywhere, the rest on one worker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/pcap_format.h"
#include "port/port.h"

namespace port {

struct PcapOptions {
  std::string replay;  // Received from here; empty: nothing is received.
  std::string
      record;  // Written to here, replacing what was there; empty: what is sent is discarded.
  uint32_t frames = 256;
  uint32_t frame_bytes = 2048;
  Capabilities capabilities;  // frame_bytes_max 0 means: what fits a frame.
};

class PcapPort final : public Port {
 public:
  static base::Result<std::unique_ptr<PcapPort>> Open(const PcapOptions& options);
  ~PcapPort() override = default;

  const char* kind() const override { return "pcap"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  int wait_fd() const override { return event_.get(); }

  pkt::FramePool& pool() { return *pool_; }

 private:
  PcapPort(const PcapOptions& options, std::unique_ptr<pkt::FramePool> pool,
           std::vector<uint8_t> file, base::UniqueFd record, base::UniqueFd event);
  bool Write(const pkt::Packet& packet) const;

  std::unique_ptr<pkt::FramePool> pool_;
  std::vector<uint8_t> file_;
  PcapReader reader_;
  std::span<const uint8_t> next_;  // Read and not yet received.
  base::UniqueFd record_;
  base::UniqueFd event_;  // Readable until the replay has ended.
  uint64_t wall_minus_monotonic_ns_;
  std::string description_;
  Capabilities capabilities_;
};

}  // namespace port
