// AF_XDP as a port: the queues of one device, one socket each, frames in one umem. Best for small
// packets; carries no super-packets. Native XDP on a veth strips segmentation offload from its
// peer: never where TCP bulk enters. Owner: the engine. Thread: Open on the control thread in the
// device's network namespace, the rest on the worker. Packets of the port's own umem go out without
// a copy; those of other pools are copied into a frame.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "port/port.h"
#include "xdp/device.h"
#include "xdp/program.h"
#include "xdp/umem.h"
#include "xdp/xsk_socket.h"

namespace port {

// Longer frames pass to the kernel: a umem frame less the kernel's headroom and ours.
inline constexpr uint32_t kXdpFrameMax = xdp::kFrameBytes - 256 - pkt::kHeadroomBytes;

enum class XdpMode : uint8_t {
  kAuto,        // The first of the following that works.
  kZeroCopy,    // Native, the NIC writes into the umem.
  kNativeCopy,  // Native, the kernel copies.
  kGeneric,     // In the core, any device.
};

struct XdpOptions {
  std::string device;
  int program_fd = -1;  // rs_xdp_redirect; stays the caller's.
  int xskmap_fd = -1;   // Its map `xsks`; stays the caller's.
  XdpMode mode = XdpMode::kAuto;
  // Of 4 KiB, locked in memory. 0: XdpFramesFor the port's queues. Ignored when umem is given.
  uint32_t frames = 0;
  // Of several workers, each has every count-th queue and a umem of its own; the first attaches the
  // program, and the others follow in the mode that it found.
  Share share;
  bool busy_poll = false;  // Preferred busy polling, for a worker that never sleeps.
  // Shared with another port of the same worker; nullptr makes one.
  std::shared_ptr<xdp::Umem> umem;
  uint32_t umem_queues = 0;  // Of all ports that share it; 0: this port's alone.
};

// Of the umem of one of `workers` workers that has `queues` queues on all its ports.
uint32_t XdpFramesFor(uint32_t queues, uint32_t workers);

class XdpPort final : public Port {
 public:
  static base::Result<std::unique_ptr<XdpPort>> Open(const XdpOptions& options);
  ~XdpPort() override = default;

  const char* kind() const override { return "xdp"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  void Flush() override;
  pkt::FramePool* transmit_pool() override { return &umem_->pool(); }
  int wait_fd() const override;
  Statistics statistics() const override;
  std::vector<QueueState> queues() const override;

  pkt::FramePool& pool() { return umem_->pool(); }
  const std::shared_ptr<xdp::Umem>& umem() const { return umem_; }
  // Whether frames may arrive with unfilled checksums: XDP cannot see that an skb's is still
  // partial (fwd::Format::unfilled_checksums). Never on hardware.
  bool unfilled_checksums() const { return device_.driver == "veth" || mode_ == XdpMode::kGeneric; }
  XdpMode mode() const { return mode_; }  // What was chosen, never kAuto.

 private:
  struct Queue {
    std::unique_ptr<xdp::XskSocket> socket;
    uint32_t posted = 0;  // Frames that the kernel holds for receiving on this queue.
    uint32_t pushed = 0;  // Descriptors in the tx ring that the kernel does not see yet.
  };

  XdpPort(xdp::Device device, const Share& share, std::shared_ptr<xdp::Umem> umem,
          uint32_t umem_queues);
  base::Status OpenMode(const XdpOptions& options, XdpMode mode);
  base::Status OpenQueues(const XdpOptions& options, XdpMode mode);
  base::Status WatchQueues();
  std::string BusyPollWords() const;
  void Close();
  uint32_t QueueFor(const pkt::Packet& packet) const;
  void Refill(Queue& queue);
  uint32_t ReceiveFrom(Queue& queue, pkt::Batch& out, pkt::LaneCounters& counters);
  bool MakeRoom(Queue& queue);
  void Submit(Queue& queue);
  void Reap(Queue& queue);
  void CountPending(int64_t delta);
  pkt::Packet* IntoUmem(pkt::Packet* packet);

  // Torn down from the last to the first: no new packets, then the sockets, then the frames.
  std::shared_ptr<xdp::Umem> umem_;
  std::vector<Queue> queues_;
  base::UniqueFd epoll_;
  base::UniqueFd link_;

  xdp::Device device_;
  XdpMode mode_ = XdpMode::kAuto;
  Capabilities capabilities_;
  std::string description_;
  uint32_t ring_size_ = 0;
  Share share_;
  uint32_t next_queue_ = 0;  // Where Receive begins, in turn.
  bool busy_poll_ = false;
  std::atomic<uint64_t> tx_pending_{0};  // Written by the worker only.
};

}  // namespace port
