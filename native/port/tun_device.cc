#include "port/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdio>

#include "net/ethernet.h"
#include "port/handover.h"
#include "port/net_device.h"
#include "port/vnet_header.h"

namespace port {

namespace {

// Linux 6.2; absent from Debian 12's headers, like the two below.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;
constexpr unsigned kTunTunnelGso = 0x80;  // Linux 6.17.
constexpr unsigned kTunTunnelGsoChecksum = 0x100;
constexpr unsigned kChecksum = TUN_F_CSUM;
constexpr unsigned kTcp = TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

struct Offload {
  unsigned flags;
  bool tunnel;
  const char* words;
};

// Sets `joined` when the device existed and could be joined.
base::Result<base::UniqueFd> Create(const TunDeviceOptions& options, bool* joined) {
  base::UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    return base::SystemError(
        "TAP_OPEN_FAILED", "open(/dev/net/tun)",
        "the TAP driver is needed: load module tun, or mount /dev/net/tun into the container");
  }
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", options.name.c_str());
  const int kind = options.ethernet ? IFF_TAP : IFF_TUN;
  const int queues = options.share.count > 1 || options.handover ? IFF_MULTI_QUEUE : 0;
  const int fresh = options.share.index == 0 ? IFF_TUN_EXCL : 0;
  request.ifr_flags = static_cast<short>(kind | IFF_NO_PI | IFF_VNET_HDR | queues | fresh);
  bool made = ioctl(fd.get(), TUNSETIFF, &request) == 0;
  if (!made && errno == EBUSY && options.handover && options.share.count == 1) {
    request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_TUN_EXCL);
    made = *joined = ioctl(fd.get(), TUNSETIFF, &request) == 0;
    if (!made) errno = EBUSY;  // Its owner shares it with nobody.
  }
  if (!made) {
    const char* remedy = errno == EBUSY || errno == EEXIST
                             ? "a device of that name exists: another data plane runs here, or "
                               "`ripstop cleanup` is due"
                             : "CAP_NET_ADMIN is needed in this network namespace";
    return base::SystemError("TAP_CREATE_FAILED", "ioctl(TUNSETIFF " + options.name + ")", remedy);
  }
  return fd;
}

// Best first; each refusal by the kernel takes one step down.
base::Status Negotiate(const TunDeviceOptions& options, TunDevice& device) {
  const unsigned uso = kTunUso4 | kTunUso6;
  const Offload ladder[] = {
      {kChecksum | kTcp | uso | kTunTunnelGso | kTunTunnelGsoChecksum, true,
       "TCP and UDP super-packets, tunnel GSO"},
      {kChecksum | kTcp | uso, false, "TCP and UDP super-packets"},
      {kChecksum | kTcp, false, "TCP super-packets"},
      {0, false, "single packets"},
  };
  for (const Offload& step : ladder) {
    if (step.tunnel && !options.tunnel_gso) continue;
    if (step.flags != 0 && !options.super_packets) continue;
    if ((step.flags & uso) != 0 && !options.udp_super_packets) continue;
    int header = static_cast<int>(step.tunnel ? kVnetTunnelBytes : kVnetBytes);
    if (ioctl(device.fd.get(), TUNSETVNETHDRSZ, &header) != 0) continue;
    if (ioctl(device.fd.get(), TUNSETOFFLOAD, step.flags) != 0) continue;
    device.header_bytes = static_cast<uint32_t>(header);
    device.words = step.words;
    device.capabilities.super_packets = true;
    device.capabilities.udp_super_packets = (step.flags & uso) != 0;
    device.capabilities.partial_checksum = true;
    device.capabilities.tunnel_super_packets = step.tunnel;
    device.capabilities.tunnel_partial_checksum = true;
    device.capabilities.frame_bytes_max = options.mtu + net::kEthernetBytes;
    return base::Ok();
  }
  return base::SystemError(
      "TAP_OFFLOAD_FAILED", "ioctl(TUNSETOFFLOAD " + options.name + ")",
      "the kernel refused even a plain TAP; its tun driver is too old or broken");
}

}  // namespace

base::Result<TunDevice> MakeTunDevice(const TunDeviceOptions& options) {
  TunDevice made;
  auto fd = Create(options, &made.joined);
  if (!fd.ok()) return fd.error();
  made.fd = std::move(fd).value();
  // First of all: what came to our queue until now waits there, and is not lost.
  if (made.joined) {
    if (auto status = GiveDeviceTo(Turn::kPredecessor, made.fd.get()); !status.ok())
      return status.error();
  }
  if (auto status = Negotiate(options, made); !status.ok()) return status.error();
  made.ifindex = if_nametoindex(options.name.c_str());
  if (options.share.index != 0) return made;
  NetDevice device(options.name);
  if (!options.ipv6) {
    if (auto status = device.DisableIpv6(); !status.ok()) return status.error();
  }
  if (auto status = device.SetMtu(options.mtu); !status.ok()) return status.error();
  if (auto status = device.SetTxQueueLength(options.queue_packets); !status.ok())
    return status.error();
  if (auto status = device.SetUp(); !status.ok()) return status.error();
  return made;
}

}  // namespace port
