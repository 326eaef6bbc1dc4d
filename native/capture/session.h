// One capture of one worker: what is wanted, and the ring that carries records from the worker to
// the control thread. Single producer (worker), single consumer (control). A full ring loses the
// record and counts it; the worker never waits.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "capture/socket_filter.h"
#include "pkt/packet.h"

namespace capture {

// Where a packet was seen. Bits of Request::points; repeated in src/dataplane/capture-records.ts.
enum class Point : uint8_t { kOverlay = 1, kUnderlay = 2, kDrop = 4 };
enum class Direction : uint8_t { kIn = 0, kOut = 1 };  // Into or out of the worker.
inline constexpr uint8_t kNoReason = 0xff;

struct Request {
  uint32_t points = 0;
  uint32_t snap_bytes = 0;  // Keep at most this much of a frame.
  SocketFilter filter;
};

// In front of each frame in the ring and in what Read hands out, in host byte order.
struct Record {
  uint32_t bytes;     // Of record and frame, padded to 8: where the next one starts.
  uint32_t captured;  // Bytes of the frame that follow.
  uint32_t original;  // Bytes the frame had.
  uint8_t point;
  uint8_t direction;
  uint8_t reason;  // DropReason, or kNoReason.
  uint8_t worker;
  uint64_t time_ns;  // CLOCK_MONOTONIC, of the worker's round.
  uint16_t segments;
  uint16_t gso_size;
  uint32_t reserved;
};
static_assert(sizeof(Record) == 32);

class Session {
 public:
  static constexpr uint32_t kRingBytes = 8U << 20;
  Session(Request request, uint8_t worker);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Worker thread.
  bool Wants(Point point) const { return (request_.points & static_cast<uint32_t>(point)) != 0; }
  void Add(const uint8_t* frame, uint32_t bytes, const pkt::Packet& packet, Point point,
           Direction direction, uint8_t reason, uint64_t now_ns);
  // For the drop point: what a packet looked like before the path touched it.
  void Remember(const pkt::Packet& packet);
  void AddRemembered(Direction direction, uint8_t reason, uint64_t now_ns);

  // Control thread. Moves whole records into `to` and returns the bytes.
  uint32_t Read(std::span<uint8_t> to);
  uint64_t matched() const { return matched_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  uint8_t* Reserve(uint32_t bytes, uint64_t* head);

  const Request request_;
  const uint8_t worker_;
  std::unique_ptr<uint8_t[]> ring_;
  std::unique_ptr<uint8_t[]> before_;
  pkt::Packet before_packet_;
  alignas(64) std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> matched_{0};
  std::atomic<uint64_t> lost_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace capture
