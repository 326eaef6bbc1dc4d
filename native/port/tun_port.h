// TUN device as a port: bare IP packets with a virtio_net_hdr, whole super-packets in one system
// call. The overlay side of flannel's `udp` format. The path wants Ethernet: a made-up header goes
// on at receive and comes off at transmit. Owner: the engine. Thread: Open on the control thread,
// the rest on the worker.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/handover.h"
#include "port/port.h"
#include "port/tun_device.h"

namespace port {

struct TunOptions {
  std::string name;  // At most 15 bytes; must not exist.
  uint32_t mtu = 1472;
  bool ipv6 = false;  // The overlay carries IPv6: the device gets addresses.
  bool super_packets = true;
  bool udp_super_packets = true;  // UDP ones among them, where the kernel has them (6.2).
  uint32_t frames = 256;          // Super-packet frames (68 KiB each, touched only when used).
  Share share;                    // Of several workers, each has a queue of the one device.
  uint32_t queue_packets = 4096;
  bool handover = false;  // See TunDeviceOptions.
};

class TunPort final : public Port {
 public:
  static base::Result<std::unique_ptr<TunPort>> Open(const TunOptions& options);
  ~TunPort() override = default;

  const char* kind() const override { return "tun"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  int wait_fd() const override { return fd_.get(); }
  Statistics statistics() const override;

  uint32_t ifindex() const { return ifindex_; }
  // The device was there; it gives us nothing before TakeOver().
  bool joined() const { return joined_; }
  base::Status TakeOver() { return GiveDeviceTo(Turn::kSuccessor, fd_.get()); }
  pkt::FramePool& pool() { return *pool_; }

 private:
  TunPort(TunDevice device, const TunOptions& options, std::unique_ptr<pkt::FramePool> pool);
  bool Accept(pkt::Packet* packet, uint32_t bytes, pkt::LaneCounters& counters);

  std::unique_ptr<pkt::FramePool> pool_;
  base::UniqueFd fd_;
  base::UniqueFd tx_dropped_;  // The device's queue towards us was full.
  std::string description_;
  Capabilities capabilities_;
  uint32_t ifindex_;
  uint32_t header_bytes_;
  bool joined_;
};

}  // namespace port
