// A batch: up to 64 packets that travel together. An outbox: a batch that empties itself into a
// drain when full. Owner and thread: one worker.
#pragma once

#include <array>
#include <cstdint>

#include "pkt/packet.h"

namespace pkt {

struct Batch {
  std::array<Packet*, kBatchMax> items;
  uint32_t count = 0;

  uint32_t room() const { return kBatchMax - count; }
  void Push(Packet* packet) { items[count++] = packet; }
  void Clear() { count = 0; }
  Packet** begin() { return items.data(); }
  Packet** end() { return items.data() + count; }
};

// Takes ownership of every packet in the batch and leaves it empty.
class Drain {
 public:
  virtual void Take(Batch& batch) = 0;

 protected:
  ~Drain() = default;
};

class Outbox {
 public:
  explicit Outbox(Drain& drain) : drain_(drain) {}
  void Push(Packet* packet) {
    batch_.Push(packet);
    if (batch_.room() == 0) Flush();
  }
  void Flush() {
    if (batch_.count != 0) drain_.Take(batch_);
  }
  uint32_t pending() const { return batch_.count; }

 private:
  Batch batch_;
  Drain& drain_;
};

}  // namespace pkt
