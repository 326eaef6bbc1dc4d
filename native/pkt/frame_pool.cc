#include "pkt/frame_pool.h"

#include <sys/mman.h>

#include "base/assert.h"

namespace pkt {

namespace {
constexpr uint64_t kPageBytes = 4096;
}

base::Result<std::unique_ptr<FramePool>> FramePool::Create(uint32_t frames, uint32_t frame_bytes) {
  if (frames == 0 || frame_bytes < 2048 || frame_bytes % 2048 != 0) {
    return base::Error{"FRAME_POOL_SIZE", 0, "FramePool::Create",
                       "frames must be positive and frame_bytes a multiple of 2048, got " +
                           std::to_string(frames) + " x " + std::to_string(frame_bytes)};
  }
  const uint64_t bytes =
      (uint64_t{frames} * frame_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return base::SystemError(
        "FRAME_POOL_MEMORY", "mmap",
        std::to_string(bytes) + " bytes for packet frames; lower the frame count");
  }
  std::shared_ptr<void> mapping(memory, [bytes](void* mapped) { munmap(mapped, bytes); });
  return std::unique_ptr<FramePool>(new FramePool(std::move(mapping), bytes, frames, frame_bytes));
}

FramePool::FramePool(std::shared_ptr<void> mapping, uint64_t memory_bytes, uint32_t frames,
                     uint32_t frame_bytes)
    : mapping_(std::move(mapping)),
      memory_(static_cast<uint8_t*>(mapping_.get())),
      memory_bytes_(memory_bytes),
      frames_(frames),
      frame_bytes_(frame_bytes),
      packets_(frames),
      out_(frames, 0) {
  free_.reserve(frames);
  for (uint32_t i = 0; i < frames; ++i) {
    Packet& packet = packets_[i];
    packet.base = memory_ + uint64_t{i} * frame_bytes_;
    packet.capacity = frame_bytes_;
    packet.index = i;
    packet.pool = this;
    free_.push_back(frames - 1 -
                    i);  // Low frames first: pages that were never needed stay untouched.
  }
}

Packet* FramePool::Take() {
  if (free_.empty()) return nullptr;
  const uint32_t index = free_.back();
  free_.pop_back();
  out_[index] = 1;
  Packet* packet = &packets_[index];
  packet->data = packet->base + kHeadroomBytes;
  packet->len = 0;
  packet->gso = Gso::kNone;
  packet->checksum = Checksum::kUnknown;
  packet->gso_ecn = false;
  packet->outer_checksum = false;
  packet->gso_size = 0;
  packet->segments = 1;
  packet->csum_start = 0;
  packet->csum_offset = 0;
  packet->inner_offset = 0;
  packet->outer_l4_offset = 0;
  return packet;
}

void FramePool::Give(Packet* packet) {
  RS_ASSERT(packet->pool == this);
  RS_ASSERT(out_[packet->index] == 1);
  out_[packet->index] = 0;
  free_.push_back(packet->index);
}

}  // namespace pkt
