// Opens the ports that a program may hold itself (library/exchange.h). Control thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "library/exchange.h"

namespace library {

struct PortRequest {
  std::string kind;    // "tap", "tun", "packet", "xdp", "pcap".
  std::string device;  // The device to make (tap, tun) or to open (packet, xdp).
  uint32_t mtu = 1500;
  bool ipv6 = false;  // tap, tun: the device may have IPv6 addresses of its own.
  // tap, tun: whole TCP and UDP super-packets with their offload metadata. A program that reads
  // packets itself wants them off; an overlay's worker wants them.
  bool super_packets = false;
  std::string replay;  // pcap: files to read and to write; either may be empty.
  std::string record;
  std::string address4;  // xdp: packets to these addresses of ours and this UDP port are taken.
  std::string address6;
  uint16_t udp_port = 0;
};

base::Result<OpenedPort> OpenPort(const PortRequest& request);

// Two ends joined in this process. `frame_bytes` bounds a frame with its headroom.
base::Result<std::pair<OpenedPort, OpenedPort>> OpenMemoryPair(const std::string& name,
                                                               uint32_t frame_bytes,
                                                               uint32_t ring_packets);

}  // namespace library
