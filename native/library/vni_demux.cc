#include "library/vni_demux.h"

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"
#include "path/parse.h"
#include "path/unfilled.h"
#include "pkt/frame_pool.h"

namespace library {

namespace {

constexpr uint32_t kNoVni = 0xffffffff;

constexpr uint32_t kIp = net::kEthernetBytes;

// Only far enough to sort: the overlay's own checks believe none of it. `inner`: where the inner
// frame starts.
uint32_t ReadVni(const pkt::Packet& packet, uint32_t* inner) {
  if (packet.len < kIp + net::Ipv4::kHeaderBytes) return kNoVni;
  const uint8_t* ip = packet.data + kIp;
  const bool v4 = ip[0] >> 4 == 4;
  const uint32_t header = v4 ? net::Ipv4::HeaderBytes(ip) : net::Ipv6::kHeaderBytes;
  if (packet.len < kIp + header + net::kUdpBytes + net::kVxlanBytes) return kNoVni;
  *inner = kIp + header + net::kUdpBytes + net::kVxlanBytes;
  return base::LoadBe32(ip + header + net::kUdpBytes + net::kVxlanVni) >> 8;
}

// What came longer than the wire can carry never was on a wire.
void MarkUncut(pkt::Packet& packet, uint32_t inner, uint32_t wire_max) {
  const uint32_t ip = inner + net::kEthernetBytes;
  if (packet.super_packet() || packet.len < ip + net::Ipv4::kHeaderBytes) return;
  path::IpView view;
  const uint16_t type = base::LoadBe16(packet.data + inner + net::kEtherType);
  if (path::ParseIp(packet.data + ip, packet.len - ip, type, view) != path::kPass) return;
  const uint32_t mtu = wire_max - (ip - kIp);
  view.family == 4 ? path::MarkUncut<net::Ipv4>(packet, ip, view, mtu)
                   : path::MarkUncut<net::Ipv6>(packet, ip, view, mtu);
}

}  // namespace

VniPort::~VniPort() { pkt::GiveAll(inbox_); }

uint32_t VniPort::Receive(pkt::Batch& out, pkt::LaneCounters&) {
  const uint32_t received = inbox_.count;
  for (pkt::Packet* packet : inbox_) out.Push(packet);
  inbox_.Clear();
  return received;
}

VniPort* VniDemux::Find(uint32_t vni) {
  if (last_ != nullptr && last_->vni() == vni) return last_;
  for (VniPort* port : ports_) {
    if (port->vni() == vni) return last_ = port;
  }
  return nullptr;
}

uint32_t VniDemux::Pull() {
  last_ = nullptr;  // Ports come and go between rounds.
  const uint32_t received = underlay_.Receive(batch_, strays_);
  if (received == 0) return 0;
  for (pkt::Packet* packet : batch_) {
    uint32_t inner = 0;
    const uint32_t vni = ReadVni(*packet, &inner);
    if (packet->len > wire_max_ + kIp && vni != kNoVni) [[unlikely]]
      MarkUncut(*packet, inner, wire_max_);
    if (VniPort* port = Find(vni); port != nullptr) {
      port->inbox().Push(packet);
      continue;
    }
    strays_.rx_packets.Add(1);
    strays_.rx_frames.Add(1);
    strays_.rx_bytes.Add(packet->len);
    strays_.Drop(vni == kNoVni ? pkt::DropReason::kUdpLength : pkt::DropReason::kVxlanVni, 1);
    pkt::Give(packet);
  }
  batch_.Clear();
  return received;
}

}  // namespace library
