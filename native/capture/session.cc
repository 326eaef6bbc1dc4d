#include "capture/session.h"

#include <algorithm>
#include <cstring>

namespace capture {

namespace {

constexpr uint32_t kMask = Session::kRingBytes - 1;
static_assert((Session::kRingBytes & kMask) == 0);

}  // namespace

Session::Session(Request request, uint8_t worker)
    : request_(std::move(request)),
      worker_(worker),
      ring_(new uint8_t[kRingBytes]),
      before_(new uint8_t[pkt::kSuperPacketMax]) {}

// Records never wrap: what does not fit before the end of the ring starts at its beginning, and a
// record of 0 bytes says so to the reader.
uint8_t* Session::Reserve(uint32_t bytes, uint64_t* head) {
  const uint64_t tail = tail_.load(std::memory_order_acquire);
  uint64_t at = head_.load(std::memory_order_relaxed);
  const uint32_t to_end = kRingBytes - static_cast<uint32_t>(at & kMask);
  const uint32_t skipped = bytes > to_end ? to_end : 0;
  if (at + skipped + bytes - tail > kRingBytes) return nullptr;
  if (skipped != 0) {
    std::memset(ring_.get() + (at & kMask), 0, 8);
    at += skipped;
  }
  *head = at + bytes;
  return ring_.get() + (at & kMask);
}

void Session::Add(const uint8_t* frame, uint32_t bytes, const pkt::Packet& packet, Point point,
                  Direction direction, uint8_t reason, uint64_t now_ns) {
  const uint32_t wanted = request_.filter.Run(frame, bytes);
  if (wanted == 0) return;
  matched_.store(matched_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const uint32_t captured = std::min({wanted, bytes, request_.snap_bytes});
  const uint32_t total = (static_cast<uint32_t>(sizeof(Record)) + captured + 7) & ~7U;
  uint64_t head;
  uint8_t* to = Reserve(total, &head);
  if (to == nullptr) {
    lost_.store(lost_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return;
  }
  const Record record{total,
                      captured,
                      bytes,
                      static_cast<uint8_t>(point),
                      static_cast<uint8_t>(direction),
                      reason,
                      worker_,
                      now_ns,
                      packet.segments,
                      packet.gso_size,
                      0};
  std::memcpy(to, &record, sizeof record);
  std::memcpy(to + sizeof record, frame, captured);
  head_.store(head, std::memory_order_release);
}

void Session::Remember(const pkt::Packet& packet) {
  before_packet_ = packet;
  before_packet_.len = std::min(packet.len, pkt::kSuperPacketMax);
  std::memcpy(before_.get(), packet.data, before_packet_.len);
}

void Session::AddRemembered(Direction direction, uint8_t reason, uint64_t now_ns) {
  Add(before_.get(), before_packet_.len, before_packet_, Point::kDrop, direction, reason, now_ns);
}

uint32_t Session::Read(std::span<uint8_t> to) {
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  const uint64_t head = head_.load(std::memory_order_acquire);
  uint32_t filled = 0;
  while (tail != head) {
    const uint8_t* from = ring_.get() + (tail & kMask);
    uint32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    if (bytes == 0) {
      tail += kRingBytes - (tail & kMask);
      continue;
    }
    if (filled + bytes > to.size()) break;
    std::memcpy(to.data() + filled, from, bytes);
    filled += bytes;
    tail += bytes;
  }
  tail_.store(tail, std::memory_order_release);
  return filled;
}

}  // namespace capture
