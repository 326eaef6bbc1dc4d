// What an XDP port must know about a device before it opens sockets on it. Control thread only, in
// the device's network namespace: ioctls, because sysfs shows the namespace it was mounted in.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace xdp {

struct Device {
  std::string name;
  std::string driver;  // "veth", "virtio_net", ...; "" when the device does not say.
  uint32_t ifindex = 0;
  uint32_t mtu = 0;
  uint32_t rx_queues = 1;
};

base::Result<Device> QueryDevice(const std::string& name);

}  // namespace xdp
