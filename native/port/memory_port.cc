#include "port/memory_port.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cstring>

#include "base/assert.h"

namespace port {

base::Result<std::pair<std::unique_ptr<MemoryPort>, std::unique_ptr<MemoryPort>>>
MemoryPort::OpenPair(const MemoryOptions& options) {
  if (!std::has_single_bit(options.ring_packets) || options.ring_packets >= options.frames) {
    return base::Error{"MEMORY_PORT_SIZE", 0, "MemoryPort::OpenPair",
                       "ring_packets must be a power of two below frames, got " +
                           std::to_string(options.ring_packets) + " of " +
                           std::to_string(options.frames)};
  }
  std::shared_ptr<Direction> directions[2];
  for (auto& direction : directions) {
    direction = std::make_shared<Direction>(options.ring_packets);
    auto pool = pkt::FramePool::Create(options.frames, options.frame_bytes);
    if (!pool.ok()) return pool.error();
    direction->pool = std::move(pool).value();
    direction->event.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!direction->event.valid()) {
      return base::SystemError("MEMORY_PORT_EVENT", "eventfd",
                               "raise the limit of open files (ulimit -n)");
    }
  }
  Capabilities capabilities = options.capabilities;
  if (capabilities.frame_bytes_max == 0) {
    capabilities.frame_bytes_max = options.frame_bytes - pkt::kHeadroomBytes;
  }
  return std::pair{
      std::unique_ptr<MemoryPort>(new MemoryPort(
          options.name + ".a", capabilities, options.ring_packets, directions[0], directions[1])),
      std::unique_ptr<MemoryPort>(new MemoryPort(
          options.name + ".b", capabilities, options.ring_packets, directions[1], directions[0]))};
}

MemoryPort::MemoryPort(std::string name, const Capabilities& capabilities, uint32_t ring_packets,
                       std::shared_ptr<Direction> receiving, std::shared_ptr<Direction> sending)
    : name_(std::move(name)),
      capabilities_(capabilities),
      ring_packets_(ring_packets),
      receiving_(std::move(receiving)),
      sending_(std::move(sending)),
      pool_(receiving_->pool.get()) {
  PostFrames();
}

MemoryPort::~MemoryPort() { receiving_->receiver_gone.store(true, std::memory_order_release); }

void MemoryPort::PostFrames() {
  while (outstanding_ < ring_packets_) {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr) return;
    RS_ASSERT(receiving_->fill.Push(packet));
    ++outstanding_;
  }
}

uint32_t MemoryPort::Receive(pkt::Batch& out, pkt::LaneCounters&) {
  uint32_t received = 0;
  while (out.room() != 0) {
    pkt::Packet* packet = nullptr;
    if (!receiving_->ready.Pop(&packet)) break;
    out.Push(packet);
    ++received;
  }
  outstanding_ -= received;
  if (received == 0) {
    // Disarm first and look again: a packet that came in between must leave the descriptor
    // readable.
    uint64_t events;
    if (read(receiving_->event.get(), &events, sizeof events) > 0 && !receiving_->ready.Empty()) {
      const uint64_t one = 1;
      (void)!write(receiving_->event.get(), &one, sizeof one);
    }
  }
  PostFrames();
  return received;
}

// An empty frame of the other end; nullptr when it is gone or has posted none.
pkt::Packet* MemoryPort::TakeFarFrame() {
  pkt::Packet* packet = nullptr;
  if (sending_->receiver_gone.load(std::memory_order_acquire)) return nullptr;
  return sending_->fill.Pop(&packet) ? packet : nullptr;
}

void MemoryPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  for (pkt::Packet* packet : batch) {
    // The other end has the same frame size, but a packet's headroom may have been spent
    // differently.
    if (packet->len > pool_->frame_bytes() - pkt::kHeadroomBytes) {
      counters.Drop(pkt::DropReason::kTxError, packet->segments);
    } else if (pkt::Packet* copy = TakeFarFrame(); copy == nullptr) {
      counters.Drop(pkt::DropReason::kTxFull, packet->segments);
    } else {
      copy->data = copy->base + pkt::kHeadroomBytes;
      copy->len = packet->len;
      copy->gso = packet->gso;
      copy->checksum = packet->checksum;
      copy->gso_ecn = packet->gso_ecn;
      copy->gso_size = packet->gso_size;
      copy->segments = 1;  // Whoever receives it counts for itself, as with a device.
      copy->csum_start = packet->csum_start;
      copy->csum_offset = packet->csum_offset;
      copy->inner_offset = 0;  // On arrival nothing is known to be encapsulated.
      copy->outer_l4_offset = 0;
      std::memcpy(copy->data, packet->data, packet->len);
      counters.tx_packets.Add(packet->segments);
      counters.tx_bytes.Add(packet->len);
      counters.tx_frames.Add(1);
      RS_ASSERT(sending_->ready.Push(copy));  // As many slots as frames are outstanding.
      sent_ = true;
    }
    pkt::Give(packet);
  }
  batch.Clear();
}

void MemoryPort::Flush() {
  if (!sent_) return;
  sent_ = false;
  const uint64_t one = 1;
  (void)!write(sending_->event.get(), &one, sizeof one);  // EAGAIN: it is readable already.
}

}  // namespace port
