// Opens the underlay of a fabric: a UDP socket, or frames straight from a device (AF_PACKET,
// AF_XDP) past the host's own UDP. Control thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "library/exchange.h"

namespace library {

struct UnderlayRequest {
  std::string kind;      // "udp", "packet" or "xdp".
  std::string address4;  // Of this host, as text; at least one of the two.
  std::string address6;
  uint16_t port = 4789;
  std::string device;  // udp: only packets of this interface; empty for any. Otherwise the device.
  uint32_t mtu = 1500;
};

base::Result<OpenedPort> OpenUnderlay(const UnderlayRequest& request);

// Whether the kernel finds the next hop of what the port sends; otherwise the peer table must.
inline bool ResolvesNextHop(const std::string& kind) { return kind != "packet" && kind != "xdp"; }

}  // namespace library
