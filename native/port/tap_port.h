// TAP device as a port: whole super-packets with a virtio_net_hdr in front, one system call each.
// On Linux >= 6.17 an underlay TAP also carries encapsulated super-packets (UDP tunnel GSO), so
// that neither segmentation nor checksums happen in user space. The device is not persistent: it
// vanishes with its descriptor. Owner: the engine. Thread: Open on the control thread, the rest on
// the worker.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/port.h"
#include "port/tun_device.h"

namespace port {

struct TapOptions {
  std::string name;  // Device name, at most 15 bytes; must not exist.
  uint32_t mtu = 1500;
  // Ask for UDP tunnel GSO; capabilities() tells whether the kernel had it.
  bool tunnel_gso = false;
  bool super_packets = true;
  bool udp_super_packets = true;  // UDP ones among them, where the kernel has them (6.2).
  uint32_t frames = 256;          // Super-packet frames (68 KiB each, touched only when used).
  Share share;                    // Of several workers, each has a queue of the one device.
  uint32_t queue_packets = 4096;  // Device queue towards us (txqueuelen).
};

class TapPort final : public Port {
 public:
  static base::Result<std::unique_ptr<TapPort>> Open(const TapOptions& options);
  ~TapPort() override = default;

  const char* kind() const override { return "tap"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  int wait_fd() const override { return fd_.get(); }
  Statistics statistics() const override;

  uint32_t ifindex() const { return ifindex_; }
  const pkt::FramePool& pool() const { return *pool_; }
  pkt::FramePool& pool() { return *pool_; }

 private:
  TapPort(TunDevice device, const TapOptions& options, std::unique_ptr<pkt::FramePool> pool);

  // pool_ is destroyed after fd_ would be, but nothing in flight refers to it: reads and writes are
  // synchronous.
  std::unique_ptr<pkt::FramePool> pool_;
  base::UniqueFd fd_;
  base::UniqueFd tx_dropped_;  // The device's queue towards us was full.
  std::string description_;
  Capabilities capabilities_;
  uint32_t ifindex_ = 0;
  uint32_t header_bytes_ = 0;
};

}  // namespace port
