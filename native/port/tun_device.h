// Making a TUN or TAP device with offload headers: what the ports tap and tun have in common. With
// several queues the kernel chooses one by the flow, and follows the queue from which it was last
// answered, so that both directions of a flow meet on one worker.
// Control thread only. The device is not persistent: it vanishes with its descriptor.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "port/port.h"

namespace port {

inline constexpr uint32_t kSuperFrameBytes = 34 * 2048;  // 64 KiB, headers, headroom.
static_assert(kSuperFrameBytes >= pkt::kSuperPacketMax + pkt::kHeadroomBytes);
// A round of super-packets that stays in the L2 cache between read and write.
inline constexpr uint32_t kRoundBytesMax = 512 * 1024;

struct TunDeviceOptions {
  std::string name;      // At most 15 bytes; must not exist.
  bool ethernet = true;  // TAP: whole frames. False, TUN: bare IP packets.
  bool ipv6 = false;     // Whether the device may have IPv6 addresses of its own.
  uint32_t mtu = 1500;
  bool tunnel_gso = false;  // Ask for UDP tunnel GSO.
  bool super_packets = true;
  bool udp_super_packets = true;
  uint32_t queue_packets = 4096;  // Device queue towards us (txqueuelen).
  Share share;  // index 0 makes the device, the others attach further queues to it.
  // With one queue: one that exists may be joined, and may be joined by a successor later.
  bool handover = false;
};

struct TunDevice {
  base::UniqueFd fd;  // Non-blocking.
  uint32_t ifindex = 0;
  uint32_t header_bytes = 0;  // Of the virtio_net_hdr in front of every packet.
  Capabilities capabilities;
  const char* words = "";  // What the kernel granted.
  bool joined = false;     // It existed, and all packets go to its owner until GiveDeviceTo().
};

base::Result<TunDevice> MakeTunDevice(const TunDeviceOptions& options);

}  // namespace port
