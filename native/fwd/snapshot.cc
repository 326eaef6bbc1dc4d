// Turns a checked table into templates and lookup structures. Control thread; pure.
#include "fwd/snapshot.h"

#include <algorithm>
#include <cstring>

#include "fwd/decode.h"
#include "net/checksum.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"

namespace fwd {

namespace {

template <typename Ip>
void WriteIp(uint8_t* ip, const TableHeader& header, const PeerRecord& record,
             const Format& format) {
  if constexpr (Ip::kFamily == 4) {
    ip[0] = 0x45;
    base::StoreBe16(ip + Ip::kFragment, Ip::kDontFragment);
    ip[8] = format.ttl;
  } else {
    ip[0] = 0x60;
    ip[7] = format.ttl;
  }
  ip[Ip::kProtocol] = net::kProtocolUdp;
  std::memcpy(ip + Ip::kSource, Ip::kFamily == 4 ? header.underlay_v4 : header.underlay_v6,
              Ip::kAddressBytes);
  std::memcpy(ip + Ip::kDestination, record.underlay, Ip::kAddressBytes);
}

// The inner Ethernet header counts against the path, the outer one does not.
uint16_t InnerMtuOf(const Peer& peer, const Format& format, uint32_t path_mtu) {
  const uint32_t inner_ether =
      format.encapsulation == Encapsulation::kVxlan ? net::kEthernetBytes : 0;
  const uint32_t overhead = peer.outer_bytes - net::kEthernetBytes + inner_ether;
  return static_cast<uint16_t>(path_mtu > overhead ? path_mtu - overhead : 0);
}

// The outer headers to one peer, right-aligned in `peer.outer`, with zeros where encap patches.
template <typename Ip>
void WriteTemplate(Peer& peer, const TableHeader& header, const PeerRecord& record,
                   const Format& format) {
  const uint32_t vxlan_bytes = format.encapsulation == Encapsulation::kVxlan ? net::kVxlanBytes : 0;
  peer.outer_bytes =
      static_cast<uint8_t>(net::kEthernetBytes + Ip::kHeaderBytes + net::kUdpBytes + vxlan_bytes);
  uint8_t* ether = peer.outer + kTemplateBytes - peer.outer_bytes;
  std::memcpy(ether, record.next_hop_mac, net::kMacBytes);
  std::memcpy(ether + net::kEtherSource, header.underlay_mac, net::kMacBytes);
  base::StoreBe16(ether + net::kEtherType, Ip::kType);
  uint8_t* ip = ether + net::kEthernetBytes;
  WriteIp<Ip>(ip, header, record, format);
  if constexpr (Ip::kFamily == 4) peer.ip_sum = net::Fold(net::Sum(ip, Ip::kHeaderBytes));
  peer.pseudo_sum = net::PseudoSum<Ip>(ip, net::kProtocolUdp, 0);
  uint8_t* udp = ip + Ip::kHeaderBytes;
  base::StoreBe16(udp + net::kUdpDestination,
                  record.underlay_port != 0 ? record.underlay_port : format.port);
  if (vxlan_bytes != 0) {
    base::StoreBe32(udp + net::kUdpBytes, net::kVxlanFlags);
    base::StoreBe32(udp + net::kUdpBytes + net::kVxlanVni, format.vni << 8);
  }
  peer.table_mtu =
      InnerMtuOf(peer, format, record.path_mtu != 0 ? record.path_mtu : format.underlay_mtu);
  peer.inner_mtu = peer.table_mtu;
}

// Where inner destinations are: here, or behind which peer. A bridged overlay knows no prefixes of
// peers.
void CollectRoutes(const DecodedTable& table, const Format& format,
                   std::vector<Lpm4::Route>& routes4, std::vector<Lpm6::Route>& routes6) {
  const auto add = [&](const uint8_t(&address)[16], uint8_t family, uint8_t length,
                       uint32_t value) {
    if (family == 4) {
      routes4.push_back({base::LoadBe32(address), length, value});
    } else {
      routes6.push_back({std::to_array(address), length, value});
    }
  };
  for (const PrefixRecord& prefix : table.prefixes) {
    add(prefix.address, prefix.family, prefix.length, kLocal);
    // Its broadcast address is nobody's: peers may not make every host of ours listen.
    if (prefix.family == 4 && prefix.length <= 30)
      routes4.push_back(
          {base::LoadBe32(prefix.address) | (0xffffffff >> prefix.length), 32, kNoPeer});
  }
  if (format.bridged) return;
  for (uint32_t i = 0; i < table.peers.size(); ++i) {
    const PeerRecord& record = table.peers[i];
    add(record.prefix, record.prefix_family, record.prefix_length, i);
  }
}

}  // namespace

base::Result<std::unique_ptr<const Snapshot>> Snapshot::Build(std::span<const uint8_t> table,
                                                              const Format& format, uint64_t salt) {
  base::Result<DecodedTable> decoded = Decode(table, format);
  if (!decoded) return decoded.error();
  const TableHeader& header = decoded->header;

  std::vector<Lpm4::Route> routes4;
  std::vector<Lpm6::Route> routes6;
  CollectRoutes(*decoded, format, routes4, routes6);
  std::unique_ptr<Snapshot> made(new Snapshot(Lpm4(routes4), Lpm6(routes6, salt)));
  made->format_ = format;
  made->version_ = header.version;
  std::memcpy(made->vtep_mac_.data(), header.vtep_mac, net::kMacBytes);
  made->vtep_mac_key_ = net::MacKey(header.vtep_mac);
  base::StoreBe32(&made->vxlan_header_, net::kVxlanFlags);
  base::StoreBe32(reinterpret_cast<uint8_t*>(&made->vxlan_header_) + net::kVxlanVni,
                  format.vni << 8);
  made->underlay_v4_be_ = base::Load<uint32_t>(header.underlay_v4);
  std::memcpy(made->underlay_v6_.data(), header.underlay_v6, made->underlay_v6_.size());
  made->overlay_mtu_ = header.overlay_mtu;

  made->vteps_ = ExactMap<uint64_t>(header.peer_count, salt);
  made->ids_ = ExactMap<uint64_t>(format.bridged ? header.peer_count : 0, salt);
  made->underlay4_ = ExactMap<uint64_t>(header.peer_count, salt);
  made->underlay6_ = ExactMap<Key128>(header.peer_count, salt);
  made->peers_.resize(header.peer_count);
  made->nodes_.resize(header.peer_count);
  for (uint32_t i = 0; i < header.peer_count; ++i) {
    const PeerRecord& record = decoded->peers[i];
    Peer& peer = made->peers_[i];
    peer = Peer{};
    peer.id = record.id;
    peer.family = record.underlay_family;
    peer.ready = format.resolve_in_kernel || (record.flags & kPeerResolved) != 0;
    std::memcpy(peer.vtep_mac, record.vtep_mac, net::kMacBytes);
    if (format.bridged) made->ids_.Insert(record.id, i);
    if (peer.family == 4) {
      WriteTemplate<net::Ipv4>(peer, header, record, format);
      made->nodes_[i] = made->underlay4_.Insert(base::Load<uint32_t>(record.underlay), i);
    } else {
      WriteTemplate<net::Ipv6>(peer, header, record, format);
      made->nodes_[i] = made->underlay6_.Insert(Key128::Of(record.underlay), i);
    }
    if (net::MacKey(record.vtep_mac) != 0) made->AddVtep(record, i);
  }
  for (uint32_t i = 0; i < header.peer_count; ++i) {
    const uint8_t* underlay = decoded->peers[i].underlay;
    Peer& peer = made->peers_[i];
    peer.loops = (peer.family == 4 ? made->FindInner4(base::Load<uint32_t>(underlay))
                                   : made->FindInner6(underlay)) != kNoPeer;
  }
  return std::unique_ptr<const Snapshot>(std::move(made));
}

void Snapshot::AddVtep(const PeerRecord& record, uint32_t peer) {
  const uint64_t key = VtepKey(net::MacKey(record.vtep_mac), record.prefix_family == 6);
  const uint32_t first = vteps_.Insert(key, peer);
  if (format_.bridged || first == peer || first == kShared) return;
  if (nodes_[first] != nodes_[peer]) vteps_.Replace(key, kShared);
}

void Snapshot::LimitPath(uint32_t node, uint16_t path_mtu) const {
  for (uint32_t i = 0; i < peers_.size(); ++i) {
    if (nodes_[i] != node) continue;
    const Peer& peer = peers_[i];
    const uint16_t limited = std::min(peer.table_mtu, InnerMtuOf(peer, format_, path_mtu));
    std::atomic_ref<uint16_t>(peer.inner_mtu).store(limited, std::memory_order_relaxed);
  }
}

}  // namespace fwd
