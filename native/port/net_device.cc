#include "port/net_device.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace port {

namespace {

base::Status Request(const std::string& name, unsigned long operation, const char* words,
                     ifreq* request) {
  base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return base::SystemError("DEVICE_SOCKET_FAILED", "socket(AF_INET)",
                             "needed to configure " + name);
  std::snprintf(request->ifr_name, sizeof request->ifr_name, "%s", name.c_str());
  if (ioctl(fd.get(), operation, request) != 0) {
    return base::SystemError("DEVICE_CONFIGURE_FAILED",
                             std::string("ioctl(") + words + " " + name + ")",
                             "CAP_NET_ADMIN is needed in this network namespace");
  }
  return base::Ok();
}

}  // namespace

base::Result<uint32_t> NetDevice::ReadMtu() const {
  ifreq request{};
  if (auto status = Request(name_, SIOCGIFMTU, "SIOCGIFMTU", &request); !status.ok())
    return status.error();
  return static_cast<uint32_t>(request.ifr_mtu);
}

base::Status NetDevice::SetMtu(uint32_t mtu) {
  ifreq request{};
  request.ifr_mtu = static_cast<int>(mtu);
  return Request(name_, SIOCSIFMTU, "SIOCSIFMTU", &request);
}

base::Status NetDevice::SetTxQueueLength(uint32_t packets) {
  ifreq request{};
  request.ifr_qlen = static_cast<int>(packets);
  return Request(name_, SIOCSIFTXQLEN, "SIOCSIFTXQLEN", &request);
}

base::Status NetDevice::SetUp() {
  ifreq request{};
  if (auto status = Request(name_, SIOCGIFFLAGS, "SIOCGIFFLAGS", &request); !status.ok())
    return status;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return Request(name_, SIOCSIFFLAGS, "SIOCSIFFLAGS", &request);
}

base::Status NetDevice::FillChecksums() {
  ethtool_value off{};
  off.cmd = ETHTOOL_STXCSUM;
  ifreq request{};
  request.ifr_data = reinterpret_cast<char*>(&off);
  return Request(name_, SIOCETHTOOL, "ETHTOOL_STXCSUM", &request);
}

base::Status NetDevice::DisableIpv6() {
  const std::string path = "/proc/sys/net/ipv6/conf/" + name_ + "/disable_ipv6";
  base::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return base::Ok();
  if (!fd.valid() || write(fd.get(), "1", 1) != 1) {
    return base::SystemError("DEVICE_CONFIGURE_FAILED", "write(" + path + ")",
                             "/proc/sys must be writable (in a container: not mounted read-only)");
  }
  return base::Ok();
}

base::UniqueFd NetDevice::OpenStatistic(const char* counter) const {
  const std::string path = "/sys/class/net/" + name_ + "/statistics/" + counter;
  return base::UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

uint64_t ReadStatistic(const base::UniqueFd& statistic) {
  char text[32] = {};
  if (pread(statistic.get(), text, sizeof text - 1, 0) <= 0) return 0;
  return std::strtoull(text, nullptr, 10);
}

}  // namespace port
