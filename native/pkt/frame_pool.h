// A fixed set of equal frames in one mapping, each with its Packet beside it. No allocation after
// Create. Owner: one worker; not thread-safe. take/give move ownership of a frame. LIFO, so the
// warmest frame goes out next.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "pkt/batch.h"
#include "pkt/packet.h"

namespace pkt {

class FramePool {
 public:
  // frame_bytes is rounded up to a page (XDP wants power-of-two chunks of 2048 or 4096: pass that
  // exactly).
  static base::Result<std::unique_ptr<FramePool>> Create(uint32_t frames, uint32_t frame_bytes);
  ~FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // An empty packet (len 0, data at base + kHeadroomBytes, all metadata reset), or nullptr when all
  // frames are out.
  Packet* Take();
  void Give(Packet* packet);  // Asserts that the packet is this pool's and was out.
  Packet* At(uint32_t index) { return &packets_[index]; }

  uint8_t* memory() const { return memory_; }
  // Keeps the mapping, and nothing else of the pool, for as long as somebody may look at it.
  std::shared_ptr<void> hold_memory() const { return mapping_; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  uint32_t frame_bytes() const { return frame_bytes_; }
  uint32_t frames() const { return frames_; }
  uint32_t available() const { return static_cast<uint32_t>(free_.size()); }

 private:
  FramePool(std::shared_ptr<void> mapping, uint64_t memory_bytes, uint32_t frames,
            uint32_t frame_bytes);

  std::shared_ptr<void> mapping_;
  uint8_t* memory_;
  uint64_t memory_bytes_;
  uint32_t frames_;
  uint32_t frame_bytes_;
  std::vector<Packet> packets_;
  std::vector<uint32_t> free_;  // Capacity reserved once.
  std::vector<uint8_t> out_;    // 1 while a frame is out: catches double give.
};

// Gives a packet back to the pool it came from.
inline void Give(Packet* packet) { packet->pool->Give(packet); }
inline void GiveAll(Batch& batch) {
  for (Packet* packet : batch) Give(packet);
  batch.Clear();
}

}  // namespace pkt
