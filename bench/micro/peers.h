// A peer table of any size and frames for it, for the micro-benchmarks.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/assert.h"
#include "base/endian.h"
#include "fwd/snapshot.h"
#include "fwd/table_format.h"
#include "net/ipv4.h"
#include "net/udp.h"
#include "pkt/frame_pool.h"

namespace bench {

inline uint32_t PodPrefix(uint32_t node) { return 10u << 24 | node << 8; }
inline uint32_t PublicAddress(uint32_t node) { return 172u << 24 | 16u << 16 | node; }
inline std::array<uint8_t, 6> VtepMac(uint32_t node) {
  return {2, 0, 0, 1, static_cast<uint8_t>(node >> 8), static_cast<uint8_t>(node)};
}

// Node 0's table: every other node is a peer with a /24.
inline std::vector<uint8_t> Table(uint32_t peers) {
  std::vector<uint8_t> made(sizeof(fwd::TableHeader) + sizeof(fwd::PrefixRecord) +
                            peers * sizeof(fwd::PeerRecord));
  fwd::TableHeader header{};
  header.magic = fwd::kTableMagic;
  header.layout = fwd::kTableLayout;
  header.local_prefix_count = 1;
  header.peer_count = peers;
  header.overlay_mtu = 1450;
  base::StoreBe32(header.underlay_v4, PublicAddress(0));
  std::memcpy(header.vtep_mac, VtepMac(0).data(), 6);
  std::memcpy(made.data(), &header, sizeof header);
  fwd::PrefixRecord prefix{};
  prefix.family = 4;
  prefix.length = 24;
  base::StoreBe32(prefix.address, PodPrefix(0));
  std::memcpy(made.data() + sizeof header, &prefix, sizeof prefix);
  for (uint32_t node = 1; node <= peers; ++node) {
    fwd::PeerRecord peer{};
    peer.id = node;
    peer.flags = fwd::kPeerResolved;
    peer.prefix_family = peer.underlay_family = 4;
    peer.prefix_length = 24;
    base::StoreBe32(peer.prefix, PodPrefix(node));
    base::StoreBe32(peer.underlay, PublicAddress(node));
    std::memcpy(peer.vtep_mac, VtepMac(node).data(), 6);
    std::memcpy(made.data() + sizeof header + sizeof prefix + (node - 1) * sizeof peer, &peer,
                sizeof peer);
  }
  return made;
}

inline std::unique_ptr<const fwd::Snapshot> Build(uint32_t peers, const fwd::Format& format) {
  auto built = fwd::Snapshot::Build(Table(peers), format);
  RS_ASSERT(built.ok());
  return std::move(built).value();
}

// An Ethernet frame of `bytes` bytes with a UDP packet from one node's pod to another's.
inline void WriteFrame(uint8_t* frame, uint32_t bytes, uint32_t from, uint32_t to) {
  std::memset(frame, 0, bytes);
  std::memcpy(frame, VtepMac(to).data(), 6);
  std::memcpy(frame + 6, VtepMac(from).data(), 6);
  base::StoreBe16(frame + 12, net::kEtherTypeIpv4);
  uint8_t* ip = frame + net::kEthernetBytes;
  ip[0] = 0x45;
  base::StoreBe16(ip + 2, static_cast<uint16_t>(bytes - net::kEthernetBytes));
  base::StoreBe16(ip + net::Ipv4::kFragment, net::Ipv4::kDontFragment);
  ip[8] = 64;
  ip[net::Ipv4::kProtocol] = net::kProtocolUdp;
  base::StoreBe32(ip + net::Ipv4::kSource, PodPrefix(from) + 5);
  base::StoreBe32(ip + net::Ipv4::kDestination, PodPrefix(to) + 5);
  net::Ipv4::FillHeaderChecksum(ip);
  uint8_t* udp = ip + net::Ipv4::kHeaderBytes;
  base::StoreBe16(udp, static_cast<uint16_t>(1024 + to % 60000));
  base::StoreBe16(udp + net::kUdpDestination, 4242);
  base::StoreBe16(udp + net::kUdpLength, static_cast<uint16_t>(bytes - 34));
}

// Keeps nothing; the packets stay where the benchmark holds them.
struct Sink final : pkt::Drain {
  uint64_t taken = 0;
  void Take(pkt::Batch& batch) override {
    taken += batch.count;
    batch.Clear();
  }
};

// A frame as it was, so that each round starts from the same packet.
struct Saved {
  pkt::Packet* packet;
  uint8_t* data;
  uint32_t len;
  void Restore() const {
    packet->data = data;
    packet->len = len;
    packet->checksum = pkt::Checksum::kUnknown;
    packet->gso = pkt::Gso::kNone;
    packet->inner_offset = 0;
  }
};

}  // namespace bench
