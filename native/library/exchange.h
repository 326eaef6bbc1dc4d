// A port in the hands of a program: batches of packets in place, for JavaScript (PacketPort of the
// library). The arena (the frames of the port's pool) and the descriptor table are handed out once;
// a batch then costs two calls, no copy and no allocation. Thread: one, whichever; whoever opened
// it. Ports of several exchanges may pass packets to each other when all belong to that thread.
//
// What a descriptor says is believed only after it was checked: the frame is the one that stands in
// the slot, and a descriptor may move and shorten the packet inside it, nothing else.
//
// The law, exact between calls:
//   rx_packets + allocated + taken = tx_packets + released + passed + sum(drops) + count()
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace library {

// As JavaScript sees it: four 32-bit words in a Uint32Array.
struct Descriptor {
  uint32_t offset;  // Of the packet's first byte, an Ethernet header, in the arena.
  uint32_t length;  // 0: send() leaves the packet out, and it counts as released.
  uint32_t room;    // Bytes from offset to the frame's end.
  uint32_t epoch;   // The batch it belongs to.
};
static_assert(sizeof(Descriptor) == 16);

// A port and the pool whose frames it hands out.
struct OpenedPort {
  std::unique_ptr<port::Port> port;
  pkt::FramePool* pool = nullptr;  // The port's own.
};

struct ExchangeCounters {
  pkt::LaneCounters lane;
  pkt::Counter allocated;  // Empty frames given out to be filled.
  pkt::Counter taken;      // Packets sent through this port out of another one's batch.
  pkt::Counter passed;     // Packets of this batch given to another port.
  pkt::Counter released;   // Given back unsent: the program did not want them.
};

class Exchange {
 public:
  static constexpr uint32_t kSlots = pkt::kBatchMax;
  // Epochs stay small integers in JavaScript; the one that stands in no descriptor is 0.
  static constexpr uint32_t kEpochMax = 0x3fffffff;

  Exchange(OpenedPort opened, bool poison);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Ends the batch before and receives up to `max` packets into a new one; returns how many.
  uint32_t Receive(uint32_t max);
  // Appends empty frames to the batch, to be filled; fewer than `wanted` when frames or slots are
  // out. Each has its whole room as length.
  uint32_t Allocate(uint32_t wanted);
  // Sends the batch through `to` (this or another exchange of the same thread) as its descriptors
  // say and ends it; returns how many packets `to` accepted.
  uint32_t Send(Exchange& to);
  // Ends the batch without sending.
  void Release();

  uint32_t count() const { return count_; }
  uint32_t epoch() const { return epoch_; }
  Descriptor* descriptors() { return descriptors_->data(); }
  // What JavaScript may go on looking at after this object is gone.
  std::shared_ptr<void> hold_descriptors() const { return descriptors_; }
  std::shared_ptr<void> hold_arena() const { return pool_->hold_memory(); }
  uint8_t* arena() const { return pool_->memory(); }
  uint64_t arena_bytes() const { return pool_->memory_bytes(); }
  uint32_t frames_free() const { return pool_->available(); }
  uint32_t frames_total() const { return pool_->frames(); }

  port::Port& port() { return *port_; }
  const port::Port& port() const { return *port_; }
  const ExchangeCounters& counters() const { return counters_; }

  // "received", "received_bytes", ..., "drop.<reason>", and their values in the same order.
  static const std::vector<std::string>& CounterNames();
  void ReadCounters(uint64_t* into) const;

 private:
  using Table = std::array<Descriptor, kSlots>;
  void Begin();
  void Describe(uint32_t slot, pkt::Packet* packet);
  bool Adopt(uint32_t slot, pkt::Packet* packet);
  void Give(pkt::Packet* packet) const;

  std::unique_ptr<port::Port> port_;
  pkt::FramePool* pool_;
  std::shared_ptr<Table> descriptors_ = std::make_shared<Table>();
  std::array<pkt::Packet*, kSlots> packets_{};
  uint32_t count_ = 0;
  uint32_t epoch_ = 1;
  bool poison_;
  pkt::Batch batch_;
  ExchangeCounters counters_;
};

}  // namespace library
