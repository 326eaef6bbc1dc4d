// Which port stands on which side: what was asked for, what the kernel can do, and why. Control
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/options.h"
#include "plane/private_pair.h"
#include "port/port.h"
#include "port/tun_port.h"
#include "port/udp_port.h"
#include "steer/steering.h"
#include "xdp/umem.h"

namespace plane {

// The devices of the host that a data plane stands between.
struct Devices {
  uint32_t overlay_ifindex = 0;     // flannel.<VNI>; 0 for the udp format.
  uint32_t overlay_v6_ifindex = 0;  // flannel-v6.<VNI>; 0 when there is no such second device.
  uint32_t overlay_mtu = 0;         // The larger of the two.
  uint32_t underlay_ifindex = 0;
  uint32_t underlay_mtu = 0;
};

base::Result<Devices> FindDevices(const engine::Options& options);

struct Ports {
  std::unique_ptr<PrivatePair> overlay_pair;  // Before the ports on it; nullptr for other kinds.
  std::vector<std::shared_ptr<xdp::Umem>> umems;  // One a worker, when both sides are AF_XDP.
  // One a worker.
  std::vector<std::unique_ptr<port::Port>> overlay;
  std::vector<std::unique_ptr<port::Port>> underlay;
  std::string overlay_reason;
  std::string underlay_reason;
  uint32_t overlay_ifindex = 0;       // The TAP or the pair's end that frames are steered into.
  uint32_t underlay_tap_ifindex = 0;  // 0 when that side is no TAP.
  bool second_turn = false;    // Another data plane of this VNI is open, which this one succeeds.
  bool drop_original = false;  // The kernel must drop what the underlay port has a copy of.
  bool unfilled_checksums =
      false;  // Frames may arrive with checksums that no device has filled (veth).
  // Of the udp format, when they are shared with a data plane that this one succeeds.
  port::TunPort* joined_tun = nullptr;
  port::UdpPort* joined_udp = nullptr;
  bool resolves_next_hop = false;  // The underlay port leaves finding the next hop to the kernel.
};

// `steering`: nullptr for the udp format, whose TUN device and socket need none.
base::Result<Ports> OpenPorts(const engine::Options& options, const Devices& devices,
                              const steer::Steering* steering);

}  // namespace plane
