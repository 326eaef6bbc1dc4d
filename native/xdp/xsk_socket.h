// One AF_XDP socket bound to one queue of a device, with its four rings, over the raw kernel
// interface (no libxdp). Owner: an XDP port. Thread: Open on the control thread in the device's
// network namespace, the rest on the worker. The socket leaves the XSKMAP by itself when it closes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xdp/ring.h"
#include "xdp/umem.h"

namespace xdp {

struct SocketOptions {
  std::string device;
  uint32_t ifindex = 0;
  uint32_t queue_id = 0;
  uint32_t ring_size = 2048;  // Each of the four rings; a power of two.
  bool zero_copy = false;
  bool busy_poll = false;  // SO_PREFER_BUSY_POLL, Linux 5.11; see busy_poll_refusal().
  int share_fd =
      -1;  // A bound socket of the same device whose umem registration to use; -1 registers anew.
};

class XskSocket {
 public:
  static base::Result<std::unique_ptr<XskSocket>> Open(const SocketOptions& options,
                                                       std::shared_ptr<Umem> umem);
  ~XskSocket();
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  FillRing& fill() { return fill_; }
  RxRing& rx() { return rx_; }
  TxRing& tx() { return tx_; }
  CompletionRing& completion() { return completion_; }
  const FillRing& fill() const { return fill_; }
  const RxRing& rx() const { return rx_; }
  const TxRing& tx() const { return tx_; }

  void KickTx();  // Lets the kernel transmit what stands in the tx ring; in copy mode it does so
                  // inside the call.
  void WakeRx();  // Lets the driver take new fill entries, or polls the device when busy polling.
  uint64_t rx_drops() const;  // Any thread.

  // 0: it was not asked for, or is granted; else the kernel's errno. The socket works without.
  int busy_poll_refusal() const { return busy_poll_refusal_; }

  int fd() const { return fd_.get(); }
  uint32_t queue_id() const { return queue_id_; }
  uint16_t id() const { return id_; }

 private:
  // One mmap of one ring.
  class Mapping {
   public:
    Mapping() = default;
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    bool Map(int fd, uint64_t bytes, uint64_t page_offset);
    uint8_t* at(uint64_t offset) const { return memory_ + offset; }

   private:
    uint8_t* memory_ = nullptr;
    uint64_t bytes_ = 0;
  };

  XskSocket(base::UniqueFd fd, uint32_t queue_id, std::shared_ptr<Umem> umem);
  base::Status CreateRings(const SocketOptions& options);
  base::Status MapRings(uint32_t ring_size);
  void Tune(const SocketOptions& options);
  base::Status Bind(const SocketOptions& options);

  // The socket closes first (see the destructor), then its frames go back, then the mappings go.
  std::shared_ptr<Umem> umem_;
  Mapping mappings_[4];
  base::UniqueFd fd_;
  FillRing fill_;
  RxRing rx_;
  TxRing tx_;
  CompletionRing completion_;
  uint32_t queue_id_;
  uint16_t id_;
  int busy_poll_refusal_ = 0;
};

}  // namespace xdp
