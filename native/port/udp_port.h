// A UDP socket as an underlay port: the kernel adds and removes the outer headers, so that
// flannel's `udp` format works without any privilege over the device. One socket per address
// family. Receive makes up the outer Ethernet, IP and UDP headers that the path checks; transmit
// strips those that encap built and sends equal datagrams to one peer as one segmented send
// (UDP_SEGMENT); coalesced ones arrive so, too (UDP_GRO). All packets
// leave from one source port: no entropy for ECMP, as with flannel's own `udp` backend. Owner: the
// engine. Thread: Open on the control thread, the rest on the worker.
#pragma once

#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pkt/frame_pool.h"
#include "port/handover.h"
#include "port/port.h"
#include "port/udp_socket.h"

namespace port {

struct UdpOptions {
  UdpAddress local4;  // At least one of the two.
  UdpAddress local6;
  uint16_t port = 8285;
  std::string device;
  uint32_t mtu = 1500;  // Of the underlay: the longest datagram that may arrive.
  bool segmentation = true;
  // Hand over a single datagram longer than a frame, as a kernel VXLAN peer on this machine sends
  // its super-packets; else it is dropped. VXLAN only: nobody else leaves packets uncut.
  bool whole = false;
  uint32_t frames = 2048;  // Of 2 KiB for an MTU of 1500.
  // Of several workers, each has sockets on the one port; the kernel gives every peer to one of
  // them.
  Share share;
  // Others of one socket each may be bound to the port, too; `joined`: one is, which gets
  // everything before TakeOver().
  bool handover = false;
  bool joined = false;
};

class UdpPort final : public Port {
 public:
  static base::Result<std::unique_ptr<UdpPort>> Open(const UdpOptions& options);
  ~UdpPort() override = default;

  const char* kind() const override { return "udp"; }
  std::string description() const override { return description_; }
  Capabilities capabilities() const override { return capabilities_; }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override;
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override;
  int wait_fd() const override;
  Statistics statistics() const override;

  pkt::FramePool& pool() { return *pool_; }
  base::Status TakeOver() { return GiveTo(Turn::kSuccessor); }

 private:
  static constexpr uint32_t kFamilies = 2;
  static constexpr uint32_t kMessages = 8;  // Of up to 64 KiB each in one recvmmsg.
  static constexpr uint32_t kMessageBytes = 64 * 1024;
  static constexpr uint32_t kWholeMax = 24;  // Messages handed over whole and not back yet.

  // A received message, cut into datagrams as the batch has room.
  struct Message {
    UdpPeer from;
    const UdpSocket* socket = nullptr;
    uint32_t bytes = 0;
    uint32_t done = 0;
    uint32_t segment = 0;  // Bytes of each datagram but the last.
    bool truncated = false;
    bool elsewhere = false;  // Came in through another interface than the port's.
  };

  UdpPort(std::vector<UdpSocket> sockets, std::unique_ptr<pkt::FramePool> pool,
          std::unique_ptr<pkt::FramePool> buffers);
  base::Status WatchSockets();
  base::Status GiveTo(Turn turn);
  bool Read(UdpSocket& socket);
  bool Slice(uint32_t index, pkt::Batch& out, pkt::LaneCounters& counters);
  pkt::Packet* TakeWhole(uint32_t index);
  uint32_t SocketFor(const pkt::Packet& packet) const;

  std::vector<UdpSocket> sockets_;
  base::UniqueFd epoll_;
  std::unique_ptr<pkt::FramePool> pool_;
  std::unique_ptr<pkt::FramePool> buffers_;  // kMessages are held for receiving.
  std::array<pkt::Packet*, kMessages> held_{};
  std::array<Message, kMessages> messages_{};
  uint32_t message_count_ = 0;
  uint32_t message_next_ = 0;
  uint32_t socket_next_ = 0;
  std::string description_;
  Capabilities capabilities_;
};

}  // namespace port
