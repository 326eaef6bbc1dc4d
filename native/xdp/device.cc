#include "xdp/device.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"

namespace xdp {

base::Result<Device> QueryDevice(const std::string& name) {
  base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return base::SystemError("XDP_DEVICE_FAILED", "socket(AF_INET)", "needed to look at " + name);
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  if (ioctl(fd.get(), SIOCGIFINDEX, &request) != 0) {
    return base::SystemError("XDP_DEVICE_FAILED", "ioctl(SIOCGIFINDEX " + name + ")",
                             "no such device in this network namespace");
  }
  Device device;
  device.name = name;
  device.ifindex = static_cast<uint32_t>(request.ifr_ifindex);
  if (ioctl(fd.get(), SIOCGIFMTU, &request) != 0) {
    return base::SystemError("XDP_DEVICE_FAILED", "ioctl(SIOCGIFMTU " + name + ")",
                             "the device vanished");
  }
  device.mtu = static_cast<uint32_t>(request.ifr_mtu);

  // Both answers are optional: a device without them has one queue and no driver name.
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (ioctl(fd.get(), SIOCETHTOOL, &request) == 0) {
    device.driver.assign(driver.driver, strnlen(driver.driver, sizeof driver.driver));
  }
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (ioctl(fd.get(), SIOCETHTOOL, &request) == 0) {
    device.rx_queues = std::max(1U, channels.rx_count + channels.combined_count);
  }
  return device;
}

}  // namespace xdp
