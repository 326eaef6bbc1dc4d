// The few settings a port makes on a device it created itself, and what it reads of others (ioctl
// and sysfs). Control thread only. Everything else about devices belongs to the control plane and
// rtnetlink.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace port {

class NetDevice {
 public:
  explicit NetDevice(std::string name) : name_(std::move(name)) {}

  base::Result<uint32_t> ReadMtu() const;
  base::Status SetMtu(uint32_t mtu);
  base::Status SetTxQueueLength(uint32_t packets);
  base::Status SetUp();
  // No router solicitations or listener reports from a device that only carries other people's
  // packets. A kernel without IPv6 has nothing to disable: success.
  base::Status DisableIpv6();
  // The stack fills in checksums before the device sends, for whoever reads frames at the other end
  // and sees no metadata.
  base::Status FillChecksums();
  // A counter of /sys/class/net/<name>/statistics, to be read for as long as the device lives: a
  // confined process cannot open files any more. Invalid when there is none.
  base::UniqueFd OpenStatistic(const char* counter) const;

 private:
  std::string name_;
};

// What the counter reads now; 0 when it cannot be read.
uint64_t ReadStatistic(const base::UniqueFd& statistic);

}  // namespace port
