#include "library/open_underlay.h"

#include <arpa/inet.h>

#include "library/raw_underlay.h"
#include "port/packet_port.h"
#include "port/udp_port.h"
#include "port/xdp_port.h"

namespace library {

namespace {

struct Local {
  port::UdpAddress v4, v6;
};

base::Result<Local> ReadAddresses(const UnderlayRequest& request) {
  Local local;
  for (const std::string* text : {&request.address4, &request.address6}) {
    if (text->empty()) continue;
    in_addr v4{};
    in6_addr v6{};
    if (inet_pton(AF_INET, text->c_str(), &v4) == 1) {
      local.v4 = port::UdpAddress::Ip4(v4.s_addr);
    } else if (inet_pton(AF_INET6, text->c_str(), &v6) == 1) {
      local.v6 = port::UdpAddress::Ip6(v6.s6_addr);
    } else {
      return base::Error{"BAD_OPTION", 0, "open", "'" + *text + "' is no IP address"};
    }
  }
  return local;
}

base::Result<OpenedPort> OpenUdp(const UnderlayRequest& request, const Local& local) {
  port::UdpOptions udp;
  udp.local4 = local.v4;
  udp.local6 = local.v6;
  udp.port = request.port;
  udp.device = request.device;
  udp.mtu = request.mtu;
  udp.whole = true;
  auto opened = port::UdpPort::Open(udp);
  if (!opened.ok()) return opened.error();
  OpenedPort made;
  made.pool = &opened.value()->pool();
  made.port = std::move(opened).value();
  return made;
}

base::Result<OpenedPort> OpenPacket(const UnderlayRequest& request, const Local& local) {
  auto held = HoldPort(local.v4, local.v6, request.port);
  if (!held.ok()) return held.error();
  port::PacketOptions packet;
  packet.device = request.device;
  packet.match = port::EncapsulatedMatch{.udp_port = request.port, .vxlan = false, .vni = 0};
  auto opened = port::PacketPort::Open(packet);
  if (!opened.ok()) return opened.error();
  OpenedPort made;
  made.pool = &opened.value()->pool();
  made.port =
      std::make_unique<RawUnderlay>(std::move(held).value(), nullptr, std::move(opened).value());
  return made;
}

base::Result<OpenedPort> OpenXdp(const UnderlayRequest& request, const Local& local) {
  auto held = HoldPort(local.v4, local.v6, request.port);
  if (!held.ok()) return held.error();
  auto steering = TakeEveryVni(local.v4, local.v6, request.port);
  if (!steering.ok()) return steering.error();
  port::XdpOptions xdp;
  xdp.device = request.device;
  xdp.program_fd = (*steering)->xdp_program();
  xdp.xskmap_fd = (*steering)->xsks_map();
  auto opened = port::XdpPort::Open(xdp);
  if (!opened.ok()) return opened.error();
  OpenedPort made;
  made.pool = &opened.value()->pool();
  made.port = std::make_unique<RawUnderlay>(std::move(held).value(), std::move(steering).value(),
                                            std::move(opened).value());
  return made;
}

}  // namespace

base::Result<OpenedPort> OpenUnderlay(const UnderlayRequest& request) {
  auto local = ReadAddresses(request);
  if (!local.ok()) return local.error();
  if (request.kind == "udp") return OpenUdp(request, *local);
  if (request.kind == "packet") return OpenPacket(request, *local);
  if (request.kind == "xdp") return OpenXdp(request, *local);
  return base::Error{"PORT_UNAVAILABLE", 0, "open",
                     "there is no underlay of kind '" + request.kind + "'; use udp, packet or xdp"};
}

}  // namespace library
