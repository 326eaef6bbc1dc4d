// The four AF_XDP rings as two types: a producer ring (fill, tx) and a consumer ring (rx,
// completion). Shared with the kernel, one writer and one reader each. Thread: the worker that owns
// the socket. No system calls. The indices run freely over 32 bits; only their difference and their
// low bits mean anything.
#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstdint>

namespace xdp {

// Where one ring lies in memory. Of the two indices each side writes one.
template <typename Entry>
struct RingMemory {
  uint32_t* producer = nullptr;
  uint32_t* consumer = nullptr;
  uint32_t* flags = nullptr;
  Entry* entries = nullptr;
  uint32_t size = 0;  // A power of two.
};

inline uint32_t LoadAcquire(uint32_t* index) {
  return std::atomic_ref<uint32_t>(*index).load(std::memory_order_acquire);
}
inline void StoreRelease(uint32_t* index, uint32_t value) {
  std::atomic_ref<uint32_t>(*index).store(value, std::memory_order_release);
}

// Entries that one side has written and the other not taken. Any thread: both indices are shared.
template <typename Entry>
uint32_t Filled(const RingMemory<Entry>& memory) {
  const uint32_t consumed = LoadAcquire(memory.consumer);
  return LoadAcquire(memory.producer) - consumed;
}

template <typename Entry>
class ProducerRing {
 public:
  ProducerRing() = default;
  explicit ProducerRing(const RingMemory<Entry>& memory) : memory_(memory) {
    produced_ = LoadAcquire(memory_.producer);
    consumed_ = LoadAcquire(memory_.consumer);
  }

  // Free slots; looks at the kernel's index only when fewer than `wanted` are known to be free.
  uint32_t Free(uint32_t wanted) {
    if (memory_.size - (produced_ - consumed_) < wanted) consumed_ = LoadAcquire(memory_.consumer);
    return memory_.size - (produced_ - consumed_);
  }
  // The caller has checked Free. Visible to the kernel after Submit.
  void Push(const Entry& entry) { memory_.entries[produced_++ & (memory_.size - 1)] = entry; }
  void Submit() { StoreRelease(memory_.producer, produced_); }
  // Entries that the kernel has not taken.
  uint32_t Unread() {
    consumed_ = LoadAcquire(memory_.consumer);
    return produced_ - consumed_;
  }
  bool needs_wakeup() const {
    return (std::atomic_ref<uint32_t>(*memory_.flags).load(std::memory_order_relaxed) &
            XDP_RING_NEED_WAKEUP) != 0;
  }
  uint32_t size() const { return memory_.size; }
  uint32_t filled() const { return Filled(memory_); }  // Any thread.

 private:
  RingMemory<Entry> memory_;
  uint32_t produced_ = 0;
  uint32_t consumed_ = 0;
};

template <typename Entry>
class ConsumerRing {
 public:
  ConsumerRing() = default;
  explicit ConsumerRing(const RingMemory<Entry>& memory) : memory_(memory) {
    consumed_ = LoadAcquire(memory_.consumer);
    produced_ = LoadAcquire(memory_.producer);
  }

  // Entries to read, at most `wanted`.
  uint32_t Ready(uint32_t wanted) {
    if (produced_ == consumed_) produced_ = LoadAcquire(memory_.producer);
    const uint32_t ready = produced_ - consumed_;
    return ready < wanted ? ready : wanted;
  }
  // The caller has checked Ready. The slot is the kernel's again after Release.
  const Entry& Pop() { return memory_.entries[consumed_++ & (memory_.size - 1)]; }
  void Release() { StoreRelease(memory_.consumer, consumed_); }
  uint32_t filled() const { return Filled(memory_); }  // Any thread.

 private:
  RingMemory<Entry> memory_;
  uint32_t produced_ = 0;
  uint32_t consumed_ = 0;
};

using FillRing = ProducerRing<uint64_t>;
using TxRing = ProducerRing<xdp_desc>;
using RxRing = ConsumerRing<xdp_desc>;
using CompletionRing = ConsumerRing<uint64_t>;

}  // namespace xdp
