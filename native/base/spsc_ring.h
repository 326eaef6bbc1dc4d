// A ring of fixed size between two threads: one pushes, the other pops, neither waits. The index of
// each side on a cache line of its own. What the producer wrote before a Push, the consumer sees
// after the Pop.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace base {

template <typename T>
class SpscRing {
 public:
  explicit SpscRing(uint32_t size) : slots_(size), mask_(size - 1) {}  // A power of two.

  // Producer. False: the ring is full.
  bool Push(const T& item) {
    const uint32_t produced = produced_.load(std::memory_order_relaxed);
    if (produced - consumed_.load(std::memory_order_acquire) > mask_) return false;
    slots_[produced & mask_] = item;
    produced_.store(produced + 1, std::memory_order_release);
    return true;
  }
  // Consumer. False: there is nothing.
  bool Pop(T* item) {
    const uint32_t consumed = consumed_.load(std::memory_order_relaxed);
    if (produced_.load(std::memory_order_acquire) == consumed) return false;
    *item = slots_[consumed & mask_];
    consumed_.store(consumed + 1, std::memory_order_release);
    return true;
  }
  bool Empty() const {
    return produced_.load(std::memory_order_acquire) == consumed_.load(std::memory_order_acquire);
  }

 private:
  std::vector<T> slots_;
  uint32_t mask_;
  alignas(64) std::atomic<uint32_t> produced_{0};
  alignas(64) std::atomic<uint32_t> consumed_{0};
};

}  // namespace base
