#include "library/open_port.h"

#include "library/open_underlay.h"
#include "library/single_port.h"
#include "port/memory_port.h"
#include "port/packet_port.h"
#include "port/pcap_port.h"
#include "port/tap_port.h"
#include "port/tun_port.h"

namespace library {

namespace {

constexpr uint32_t kFramesPerRing = 4;  // Enough for both rings, a batch and what is being sent.

// A port of a kind that has opened well, with its own pool.
template <typename Port>
base::Result<OpenedPort> Hand(base::Result<std::unique_ptr<Port>> opened) {
  if (!opened.ok()) return opened.error();
  OpenedPort handed;
  handed.pool = &opened.value()->pool();
  handed.port = std::move(opened).value();
  return handed;
}

}  // namespace

base::Result<OpenedPort> OpenPort(const PortRequest& request) {
  if (request.kind == "tap") {
    port::TapOptions tap;
    tap.name = request.device;
    tap.mtu = request.mtu;
    tap.super_packets = request.super_packets;
    return Hand(port::TapPort::Open(tap));
  }
  if (request.kind == "tun") {
    port::TunOptions tun;
    tun.name = request.device;
    tun.mtu = request.mtu;
    tun.ipv6 = request.ipv6;
    tun.super_packets = request.super_packets;
    return Hand(port::TunPort::Open(tun));
  }
  if (request.kind == "packet") {
    port::PacketOptions packet;
    packet.device = request.device;
    packet.promiscuous = true;
    auto opened = port::PacketPort::Open(packet);
    if (!opened.ok()) return opened.error();
    return Hand(SinglePort::Wrap(std::move(opened).value()));
  }
  if (request.kind == "xdp") {
    return OpenUnderlay({.kind = "xdp",
                         .address4 = request.address4,
                         .address6 = request.address6,
                         .port = request.udp_port,
                         .device = request.device});
  }
  if (request.kind == "pcap") {
    port::PcapOptions pcap;
    pcap.replay = request.replay;
    pcap.record = request.record;
    return Hand(port::PcapPort::Open(pcap));
  }
  return base::Error{
      "PORT_UNAVAILABLE", 0, "open",
      "there is no packet port of kind '" + request.kind + "'; use tap, tun, packet, xdp or pcap"};
}

base::Result<std::pair<OpenedPort, OpenedPort>> OpenMemoryPair(const std::string& name,
                                                               uint32_t frame_bytes,
                                                               uint32_t ring_packets) {
  port::MemoryOptions memory;
  memory.name = name;
  memory.frame_bytes = frame_bytes;
  memory.ring_packets = ring_packets;
  memory.frames = ring_packets * kFramesPerRing;
  auto pair = port::MemoryPort::OpenPair(memory);
  if (!pair.ok()) return pair.error();
  std::pair<OpenedPort, OpenedPort> ends;
  ends.first.pool = &pair->first->pool();
  ends.first.port = std::move(pair->first);
  ends.second.pool = &pair->second->pool();
  ends.second.port = std::move(pair->second);
  return ends;
}

}  // namespace library
