// What a data plane is opened with. Filled by native/addon from JavaScript, or by a test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fwd/snapshot.h"

namespace engine {

inline constexpr uint32_t kCpuMax = 1023;  // What a cpu_set_t can say.

struct Options {
  fwd::Format format;
  std::string overlay_device;  // flannel.<VNI>; empty for the udp format.
  std::string
      overlay_device_v6;        // flannel-v6.<VNI>; empty when overlay_device carries all there is.
  std::string underlay_device;  // The external interface.
  std::string overlay_port = "auto";
  std::string underlay_port = "auto";
  std::vector<std::string>
      disable;  // Features treated as absent: "tunnel-gso", "super-packets", "xdp-native", ...
  uint32_t busy_poll_us = 0;
  uint32_t workers = 1;        // 1 to fwd::kWorkersMax.
  std::vector<uint32_t> cpus;  // Worker i runs on cpus[i % size] only; empty: wherever it may.

  bool Disabled(const char* feature) const {
    for (const std::string& name : disable) {
      if (name == feature) return true;
    }
    return false;
  }
};

}  // namespace engine
