// A tcpdump-style filter as libpcap compiles it (classic BPF, `tcpdump -ddd`), checked once and run
// over frames in user space: the kernel's own filters never see what the data plane carries. Run:
// worker thread, no allocation, ends after at most as many steps as there are instructions (jumps
// only go forward).
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace capture {

class SocketFilter {
 public:
  // An empty program accepts everything. Refuses what the kernel's checker would refuse, and the
  // kernel's extensions (negative offsets), which have no meaning here.
  static base::Result<SocketFilter> Check(std::span<const sock_filter> program);
  SocketFilter() = default;

  // How many bytes of the frame to keep; 0: none of it is wanted.
  uint32_t Run(const uint8_t* frame, uint32_t bytes) const;

 private:
  explicit SocketFilter(std::vector<sock_filter> code) : code_(std::move(code)) {}
  std::vector<sock_filter> code_;
};

}  // namespace capture
