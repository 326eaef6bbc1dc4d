#include "plane/choose_ports.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "base/unique_fd.h"
#include "port/tap_port.h"
#include "port/xdp_port.h"

namespace plane {

namespace {

base::Status FindDevice(const std::string& name, uint32_t* ifindex, uint32_t* mtu) {
  *ifindex = if_nametoindex(name.c_str());
  if (*ifindex == 0) {
    return base::SystemError("DEVICE_NOT_FOUND", "if_nametoindex(" + name + ")",
                             "there is no such device in this network namespace; see `ip link`");
  }
  base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  if (!fd.valid() || ioctl(fd.get(), SIOCGIFMTU, &request) != 0) {
    return base::SystemError("DEVICE_NOT_FOUND", "ioctl(SIOCGIFMTU " + name + ")",
                             "the device vanished while it was being read");
  }
  *mtu = static_cast<uint32_t>(request.ifr_mtu);
  return base::Ok();
}

std::string TapName(const char* prefix, const engine::Options& options) {
  // At most 3 + 8 digits: fits the 15 bytes of a device name. One data plane per VNI and namespace.
  return std::string(prefix) + std::to_string(options.format.vni);
}

base::Result<std::unique_ptr<port::TapPort>> OpenTap(const engine::Options& options,
                                                     const char* prefix, uint32_t mtu,
                                                     bool tunnel) {
  port::TapOptions tap;
  tap.name = TapName(prefix, options);
  tap.mtu = mtu;
  tap.tunnel_gso = tunnel && !options.Disabled("tunnel-gso");
  tap.super_packets = !options.Disabled("super-packets");
  return port::TapPort::Open(tap);
}

base::Error Unavailable(const char* side, const std::string& kind) {
  return base::Error{
      "PORT_UNAVAILABLE", 0, "open",
      std::string(side) + " port '" + kind + "' is not available for this format; use auto or tap"};
}

base::Status OpenUnderlayTap(const engine::Options& options, const Devices& devices, Ports* ports) {
  auto opened = OpenTap(options, "rsu.", devices.underlay_mtu, true);
  if (!opened.ok()) return opened.error();
  const bool tunnel = opened.value()->capabilities().tunnel_super_packets;
  ports->underlay_tap_ifindex = opened.value()->ifindex();
  ports->underlay = std::move(opened).value();
  ports->resolves_next_hop = true;
  ports->underlay_reason =
      options.underlay_port == "tap" ? "asked for"
      : tunnel ? "a TAP with tunnel GSO carries encapsulated super-packets whole"
               : "a TAP works on every device; tunnel GSO (Linux 6.17) is not there";
  return base::Ok();
}

base::Status OpenUnderlayXdp(const engine::Options& options, const steer::Steering& steering,
                             Ports* ports) {
  port::XdpOptions xdp;
  xdp.device = options.underlay_device;
  xdp.program_fd = steering.xdp_program();
  xdp.xskmap_fd = steering.xsks_map();
  if (options.Disabled("xdp-native")) {
    xdp.mode = port::XdpMode::kGeneric;
  } else if (options.Disabled("xdp-zerocopy")) {
    xdp.mode = port::XdpMode::kNativeCopy;
  }
  auto opened = port::XdpPort::Open(xdp);
  if (!opened.ok()) return opened.error();
  ports->underlay = std::move(opened).value();
  ports->underlay_reason = "asked for";
  return base::Ok();
}

}  // namespace

base::Result<Devices> FindDevices(const engine::Options& options) {
  Devices devices;
  if (auto status =
          FindDevice(options.underlay_device, &devices.underlay_ifindex, &devices.underlay_mtu);
      !status.ok()) {
    return status.error();
  }
  if (auto status =
          FindDevice(options.overlay_device, &devices.overlay_ifindex, &devices.overlay_mtu);
      !status.ok()) {
    return status.error();
  }
  return devices;
}

base::Result<Ports> OpenPorts(const engine::Options& options, const Devices& devices,
                              steer::Steering& steering) {
  Ports ports;
  if (options.overlay_port != "auto" && options.overlay_port != "tap")
    return Unavailable("overlay", options.overlay_port);
  auto overlay = OpenTap(options, "rso.", devices.overlay_mtu, false);
  if (!overlay.ok()) return overlay.error();
  ports.overlay_tap_ifindex = overlay.value()->ifindex();
  ports.overlay = std::move(overlay).value();
  ports.overlay_reason =
      options.overlay_port == "tap" ? "asked for" : "a TAP keeps super-packets whole";

  base::Status underlay = Unavailable("underlay", options.underlay_port);
  if (options.underlay_port == "auto" || options.underlay_port == "tap") {
    underlay = OpenUnderlayTap(options, devices, &ports);
  } else if (options.underlay_port == "xdp") {
    underlay = OpenUnderlayXdp(options, steering, &ports);
  }
  if (!underlay.ok()) return underlay.error();
  return ports;
}

}  // namespace plane
