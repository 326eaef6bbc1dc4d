#include "plane/choose_ports.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"
#include "plane/xdp_ports.h"
#include "port/packet_port.h"
#include "port/tap_port.h"
#include "port/tun_port.h"
#include "port/udp_port.h"

namespace plane {

namespace {

constexpr uint32_t kUdpOverhead = 28;
constexpr const char* kOverlayTap = "rso.";

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

// At most 4 + 8 digits + 1: fits the 15 bytes of a device name. One data plane per VNI and
// namespace, and its successor beside it until it has taken over: the two take turns with the
// names.
std::string Turn(const engine::Options& options, bool second) {
  return std::to_string(options.format.vni) + (second ? "b" : "");
}

bool FirstTurnTaken(const engine::Options& options) {
  const std::string first = Turn(options, false);
  return if_nametoindex((kOverlayTap + first).c_str()) != 0 || PrivatePair::Held(first);
}

// A TAP of every worker on one device; answers with the device's index.
base::Result<uint32_t> OpenTaps(const engine::Options& options, const char* prefix, uint32_t mtu,
                                bool tunnel, Ports* ports,
                                std::vector<std::unique_ptr<port::Port>>* made) {
  port::TapOptions tap;
  tap.mtu = mtu;
  tap.tunnel_gso = tunnel && !options.Disabled("tunnel-gso");
  tap.super_packets = !options.Disabled("super-packets");
  tap.udp_super_packets = !options.Disabled("udp-super-packets");
  tap.name = prefix + Turn(options, ports->second_turn);
  uint32_t ifindex = 0;
  for (uint32_t worker = 0; worker < options.workers; ++worker) {
    tap.share = {worker, options.workers};
    auto opened = port::TapPort::Open(tap);
    if (!opened.ok()) return opened.error();
    ifindex = opened.value()->ifindex();
    made->push_back(std::move(opened).value());
  }
  return ifindex;
}

base::Error Unavailable(const char* side, const std::string& kind, const char* remedy) {
  return base::Error{"PORT_UNAVAILABLE", 0, "open",
                     std::string(side) + " port '" + kind + "' " + remedy};
}

// What `auto` makes of an error to open a TAP: without the driver AF_PACKET does, and says why.
bool HasNoTapDriver(const base::Error& error) { return error.code == "TAP_OPEN_FAILED"; }

std::string InsteadOfTap(const base::Error& error) {
  return "no TAP: " + error.op + ": " + std::strerror(error.os_error) +
         "; AF_PACKET needs no device of its own kind";
}

const char* Reason(const std::string& asked, const char* otherwise) {
  return asked == "auto" ? otherwise : "asked for";
}

base::Status OpenUnderlayTap(const engine::Options& options, const Devices& devices, Ports* ports) {
  auto opened = OpenTaps(options, "rsu.", devices.underlay_mtu, true, ports, &ports->underlay);
  if (!opened.ok()) return opened.error();
  const bool tunnel = ports->underlay[0]->capabilities().tunnel_super_packets;
  ports->underlay_tap_ifindex = *opened;
  ports->resolves_next_hop = true;
  ports->underlay_reason =
      Reason(options.underlay_port,
             tunnel ? "a TAP with tunnel GSO carries encapsulated super-packets whole"
                    : "a TAP works on every device; tunnel GSO (Linux 6.17) is not there");
  return base::Ok();
}

base::Status OpenUnderlayPacket(const engine::Options& options, const steer::Steering& steering,
                                Ports* ports) {
  port::PacketOptions packet;
  packet.device = options.underlay_device;
  packet.match = port::EncapsulatedMatch{options.format.port,
                                         options.format.encapsulation == fwd::Encapsulation::kVxlan,
                                         options.format.vni};
  packet.filter_program = steering.packet_filter();
  for (uint32_t worker = 0; worker < options.workers; ++worker) {
    packet.share = {worker, options.workers};
    auto opened = port::PacketPort::Open(packet);
    if (!opened.ok()) return opened.error();
    packet.fanout_group = opened.value()->fanout_group();
    ports->underlay.push_back(std::move(opened).value());
  }
  ports->underlay_reason = "asked for";
  ports->drop_original = true;
  return base::Ok();
}

// The address that flannel's udp binds to: the first of the external interface.
port::UdpAddress FirstAddress(const std::string& device, int family) {
  port::UdpAddress found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* at = list; at != nullptr && found.family == 0; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || device != at->ifa_name)
      continue;
    if (family == AF_INET) {
      found = port::UdpAddress::Ip4(
          reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr);
    } else {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      if (!IN6_IS_ADDR_LINKLOCAL(&address)) found = port::UdpAddress::Ip6(address.s6_addr);
    }
  }
  freeifaddrs(list);
  return found;
}

base::Status OpenUnderlayUdp(const engine::Options& options, const Devices& devices, Ports* ports) {
  port::UdpOptions udp;
  udp.local4 = FirstAddress(options.underlay_device, AF_INET);
  udp.local6 = FirstAddress(options.underlay_device, AF_INET6);
  udp.port = options.format.port;
  udp.device = options.underlay_device;
  udp.mtu = devices.underlay_mtu;
  udp.segmentation = !options.Disabled("udp-segmentation");
  udp.handover = options.workers == 1;
  udp.joined = ports->joined_tun != nullptr;
  for (uint32_t worker = 0; worker < options.workers; ++worker) {
    udp.share = {worker, options.workers};
    auto opened = port::UdpPort::Open(udp);
    if (!opened.ok()) return opened.error();
    if (udp.joined) ports->joined_udp = opened->get();
    ports->underlay.push_back(std::move(opened).value());
  }
  ports->resolves_next_hop = true;
  ports->underlay_reason =
      Reason(options.underlay_port, "a UDP socket with segmentation carries the udp format");
  return base::Ok();
}

base::Status OpenOverlayTap(const engine::Options& options, const Devices& devices, Ports* ports) {
  auto opened = OpenTaps(options, kOverlayTap, devices.overlay_mtu, false, ports, &ports->overlay);
  if (!opened.ok()) return opened.error();
  ports->overlay_ifindex = *opened;
  ports->overlay_reason = Reason(options.overlay_port, "a TAP keeps super-packets whole");
  return base::Ok();
}

base::Status OpenOverlayPacket(const engine::Options& options, Ports* ports) {
  port::PacketOptions packet;
  packet.device = ports->overlay_pair->port_device();
  for (uint32_t worker = 0; worker < options.workers; ++worker) {
    packet.share = {worker, options.workers};
    auto opened = port::PacketPort::Open(packet);
    if (!opened.ok()) return opened.error();
    packet.fanout_group = opened.value()->fanout_group();
    ports->overlay.push_back(std::move(opened).value());
  }
  return base::Ok();
}

// Both kinds are ports on an end of a private pair.
base::Status OpenOverlayOnPair(const engine::Options& options, bool xdp, const Devices& devices,
                               const steer::Steering& steering, Ports* ports) {
  PrivatePairOptions pair;
  pair.name = Turn(options, ports->second_turn);
  pair.mtu = devices.overlay_mtu;
  pair.queues = options.workers;
  pair.finish_frames = xdp;
  auto opened = PrivatePair::Open(pair);
  if (!opened.ok()) return opened.error();
  ports->overlay_pair = std::move(opened).value();
  ports->overlay_ifindex = ports->overlay_pair->steered_ifindex();
  ports->overlay_reason = "asked for";
  return xdp ? OpenOverlayXdp(options, devices, steering, ports)
             : OpenOverlayPacket(options, ports);
}

base::Status OpenOverlay(const engine::Options& options, const Devices& devices,
                         const steer::Steering& steering, Ports* ports) {
  const std::string& kind = options.overlay_port;
  if (kind == "xdp" || kind == "packet")
    return OpenOverlayOnPair(options, kind == "xdp", devices, steering, ports);
  if (kind == "tap") return OpenOverlayTap(options, devices, ports);
  if (kind == "auto") {
    auto tap = OpenOverlayTap(options, devices, ports);
    if (tap.ok() || !HasNoTapDriver(tap.error())) return tap;
    auto status = OpenOverlayOnPair(options, false, devices, steering, ports);
    ports->overlay_reason = InsteadOfTap(tap.error());
    return status;
  }
  return Unavailable("overlay", kind, "does not fit VXLAN; use auto, tap, xdp or packet");
}

base::Status OpenUnderlay(const engine::Options& options, const Devices& devices,
                          const steer::Steering& steering, Ports* ports) {
  const std::string& kind = options.underlay_port;
  if (kind == "xdp") return OpenUnderlayXdp(options, steering, ports);
  if (kind == "packet") return OpenUnderlayPacket(options, steering, ports);
  if (kind == "tap") return OpenUnderlayTap(options, devices, ports);
  if (kind == "auto") {
    auto tap = OpenUnderlayTap(options, devices, ports);
    if (tap.ok() || !HasNoTapDriver(tap.error())) return tap;
    auto status = OpenUnderlayPacket(options, steering, ports);
    ports->underlay_reason = InsteadOfTap(tap.error());
    return status;
  }
  return Unavailable("underlay", kind,
                     "does not fit VXLAN: the kernel's own VXLAN device holds the UDP port; use "
                     "auto, tap, xdp or packet");
}

base::Status OpenVxlanPorts(const engine::Options& options, const Devices& devices,
                            const steer::Steering& steering, Ports* ports) {
  ports->second_turn = FirstTurnTaken(options);
  if (auto status = OpenOverlay(options, devices, steering, ports); !status.ok()) return status;
  return OpenUnderlay(options, devices, steering, ports);
}

base::Status OpenUdpPorts(const engine::Options& options, const Devices& devices, Ports* ports) {
  if (options.overlay_port != "auto" && options.overlay_port != "tun") {
    return Unavailable("overlay", options.overlay_port,
                       "does not fit the udp format; use auto or tun");
  }
  if (options.underlay_port != "auto" && options.underlay_port != "udp") {
    return Unavailable("underlay", options.underlay_port,
                       "does not fit the udp format; use auto or udp");
  }
  port::TunOptions tun;
  tun.name = options.overlay_device;
  tun.mtu = devices.overlay_mtu;
  tun.super_packets = !options.Disabled("super-packets");
  tun.udp_super_packets = !options.Disabled("udp-super-packets");
  tun.handover = options.workers == 1;
  for (uint32_t worker = 0; worker < options.workers; ++worker) {
    tun.share = {worker, options.workers};
    auto overlay = port::TunPort::Open(tun);
    if (!overlay.ok()) return overlay.error();
    if (overlay.value()->joined()) ports->joined_tun = overlay->get();
    ports->overlay.push_back(std::move(overlay).value());
  }
  ports->overlay_reason = Reason(options.overlay_port, "the udp format carries bare IP packets");
  return OpenUnderlayUdp(options, devices, ports);
}

}  // namespace

base::Result<Devices> FindDevices(const engine::Options& options) {
  Devices devices;
  if (auto status =
          FindDevice(options.underlay_device, &devices.underlay_ifindex, &devices.underlay_mtu);
      !status.ok()) {
    return status.error();
  }
  if (options.format.encapsulation == fwd::Encapsulation::kUdp) {
    // The data plane makes this device itself; flannel's MTU, which leaves room for IPv4 and UDP.
    devices.overlay_mtu = devices.underlay_mtu - kUdpOverhead;
    return devices;
  }
  if (auto status =
          FindDevice(options.overlay_device, &devices.overlay_ifindex, &devices.overlay_mtu);
      !status.ok()) {
    return status.error();
  }
  if (options.overlay_device_v6.empty()) return devices;
  uint32_t mtu = 0;
  if (auto status = FindDevice(options.overlay_device_v6, &devices.overlay_v6_ifindex, &mtu);
      !status.ok()) {
    return status.error();
  }
  devices.overlay_mtu = std::max(devices.overlay_mtu, mtu);
  return devices;
}

base::Result<Ports> OpenPorts(const engine::Options& options, const Devices& devices,
                              const steer::Steering* steering) {
  Ports ports;
  const base::Status status = steering != nullptr
                                  ? OpenVxlanPorts(options, devices, *steering, &ports)
                                  : OpenUdpPorts(options, devices, &ports);
  if (!status.ok()) return status.error();
  return ports;
}

}  // namespace plane
