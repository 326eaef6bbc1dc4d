// The one place that reads the monotonic clock. Engine and ports only; the path gets time as an
// argument.
#pragma once

#include <time.h>

#include <cstdint>

namespace base {

// Nanoseconds of CLOCK_MONOTONIC: the clock bpf_ktime_get_ns() reads, so heartbeats compare
// directly.
inline uint64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace base
