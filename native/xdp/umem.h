// The umem: one FramePool whose frames the kernel may also hold, and who holds each frame now.
// Owner: one worker, through its XDP ports; several ports of one worker may share one umem, so that
// a frame received on one is sent on another without a copy. Thread: that worker. Must never let a
// frame have two holders.
//
//   kProcess (pool, batch, path) --GiveToFill--> kFill --TakeReceived--> kProcess
//                                --GiveToTx----> kTx   --TakeSent------> kProcess
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "pkt/frame_pool.h"

namespace xdp {

inline constexpr uint32_t kFrameBytes = 4096;

// free + fill + tx + lent == total, always.
struct Census {
  uint32_t total = 0;
  uint32_t free = 0;  // In the pool.
  uint32_t fill =
      0;  // Empty frames with the kernel, and received ones not yet read from the rx ring.
  uint32_t tx = 0;    // In the tx ring, on the wire, or completed and not yet reaped.
  uint32_t lent = 0;  // In batches, outboxes and other hands of this process.
};

class Umem {
 public:
  static base::Result<std::shared_ptr<Umem>> Create(uint32_t frames);
  explicit Umem(std::unique_ptr<pkt::FramePool> pool);
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  pkt::FramePool& pool() { return *pool_; }
  bool Owns(const pkt::Packet* packet) const { return packet->pool == pool_.get(); }

  // The umem address of the frame's first byte, to be written into a fill ring.
  uint64_t GiveToFill(pkt::Packet* packet);
  // The umem address of the packet's data, to be written into a tx ring.
  uint64_t GiveToTx(pkt::Packet* packet);
  // What a descriptor of an rx ring names, data and len set; nullptr when the descriptor names no
  // frame that the kernel holds for receiving, or bytes outside it.
  pkt::Packet* TakeReceived(uint64_t address, uint32_t len);
  // What an address of a completion ring names, or nullptr likewise.
  pkt::Packet* TakeSent(uint64_t address);
  // Frames that a closing socket took with it: the kernel no longer writes to them once the socket
  // is gone.
  void ReclaimFrom(uint16_t socket_id);

  // Tags the frames given by the following GiveToFill/GiveToTx calls with the socket that gets
  // them.
  void set_socket(uint16_t socket_id) { socket_id_ = socket_id; }
  uint16_t NewSocketId() { return next_socket_id_++; }

  Census census() const;

 private:
  enum class Holder : uint8_t { kProcess, kFill, kTx };
  struct Tag {
    Holder holder = Holder::kProcess;
    uint16_t socket_id = 0;
  };

  pkt::Packet* FrameAt(uint64_t address, Holder expected);

  std::unique_ptr<pkt::FramePool> pool_;
  std::vector<Tag> tags_;
  uint16_t socket_id_ = 0;
  uint16_t next_socket_id_ = 1;
  uint32_t in_fill_ = 0;
  uint32_t in_tx_ = 0;
};

}  // namespace xdp
