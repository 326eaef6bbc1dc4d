// AF_PACKET as a port: a raw socket with virtio_net_hdr on an existing device, whole batches in one
// recvmmsg/sendmmsg. For NICs without XDP and containers without CAP_BPF. Receives encapsulated
// super-packets whole (the kernel describes their inner segmentation), but cannot send them: only
// plain super-packets go out whole. Owner: the engine. Thread: Open on the control thread in the
// device's network namespace, the rest on the worker.
//
// The socket is a tap: the kernel goes on with the original. Whoever opens this port on an underlay
// device must make the kernel drop what the filter matches, behind the tap: at tc ingress
// (docs/ports.md), never at XDP, which is before it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/packet_filter.h"
#include "port/port.h"

namespace port {

struct PacketOptions {
  std::string device;
  std::optional<EncapsulatedMatch> match;  // Absent: every incoming frame, for a device of our own.
  bool promiscuous = false;  // Frames to others too: the device has stations behind it.
  int filter_program = -1;   // A BPF socket filter that decides instead of `match`; -1: none.
  uint32_t frames = 256;     // Super-packet frames (68 KiB each, touched only when used).
  // Of several workers, each has a socket; the kernel gives every flow to one of them. The first
  // makes the fanout group, the others join it (fanout_group() of the first).
  Share share;
  uint16_t fanout_group = 0;
};

class PacketPort final : public Port {
 public:
  static base::Result<std::unique_ptr<PacketPort>> Open(const PacketOptions& options);
  ~PacketPort() override;

  const char* kind() const override { return "packet"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  int wait_fd() const override { return fd_.get(); }
  Statistics statistics() const override;

  pkt::FramePool& pool() { return *pool_; }
  uint16_t fanout_group() const { return fanout_group_; }

 private:
  PacketPort(base::UniqueFd fd, std::unique_ptr<pkt::FramePool> pool);
  base::Status Configure(const PacketOptions& options);
  base::Status JoinFanout(const PacketOptions& options);
  uint32_t Arm(uint32_t wanted);
  bool Accept(pkt::Packet* packet, uint32_t bytes, bool truncated, pkt::LaneCounters& counters);

  std::unique_ptr<pkt::FramePool> pool_;
  base::UniqueFd fd_;
  uint16_t fanout_group_ = 0;
  std::string description_;
  Capabilities capabilities_;
  // Empty frames kept ready for the next recvmmsg; the first armed_count_ are valid.
  std::array<pkt::Packet*, pkt::kBatchMax> armed_{};
  uint32_t armed_count_ = 0;
  uint32_t burst_ = pkt::kBatchMax;  // Packets to ask for: fewer when they come as super-packets.
  mutable std::atomic<uint64_t> kernel_drops_{0};  // The kernel forgets what it has told once.
};

}  // namespace port
