// Super-packets of *outer* datagrams: a local peer's UDP_SEGMENT arrives uncut through a veth, with
// a checksum that starts at the outer UDP header. Everything else that is large is one inner
// super-packet. They are cut before anything is stripped. Thread: a worker. Pure.
#pragma once

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

inline bool IsOuterSuperPacket(const pkt::Packet& packet) {
  constexpr uint32_t kIp = net::kEthernetBytes;
  if (packet.gso != pkt::Gso::kUdp || packet.len <= kIp) return false;
  const uint8_t* ip = packet.data + kIp;
  const uint32_t udp = ip[0] >> 4 == 4 ? net::Ipv4::HeaderBytes(ip) : net::Ipv6::kHeaderBytes;
  return packet.csum_start == kIp + udp;
}

// Counts the datagrams into packet.segments. False, and 1, when headers and metadata contradict
// each other.
inline bool CountOuterDatagrams(pkt::Packet& packet) {
  constexpr uint32_t kIp = net::kEthernetBytes;
  IpView view;
  const uint16_t type = base::LoadBe16(packet.data + net::kEtherType);
  const bool sound = ParseIp(packet.data + kIp, packet.len - kIp, type, view) == kPass &&
                     CheckOffload(packet, kIp, view) == kPass;
  if (!sound) packet.segments = 1;
  return sound;
}

}  // namespace path
