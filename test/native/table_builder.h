// Peer tables for tests and fuzzers, and the addresses that go with them.
// Node 1 holds 10.244.1.0/24 and fd00:1::/64, node 2 holds 10.244.2.0/24 and fd00:2::/64, and so
// on.
#pragma once

#include <memory>
#include <vector>

#include "base/assert.h"
#include "frames.h"
#include "fwd/snapshot.h"

namespace testing_node {

using frames::Address;
using frames::Bytes;
using frames::Mac;

inline Mac VtepMac(int node) {
  return {0x02, 0, 0, 0, static_cast<uint8_t>(node >> 8), static_cast<uint8_t>(node)};
}
inline Mac NicMac(int node) {
  return {0x06, 0, 0, 0, static_cast<uint8_t>(node >> 8), static_cast<uint8_t>(node)};
}
inline Address Underlay(int node, int family) {
  return family == 4 ? frames::V4(192, 0, 2 + node / 250, node % 250 + 1)
                     : frames::V6(node, 1, 0x2001);
}
inline Address Pod(int node, int family, int host = 5) {
  return family == 4 ? frames::V4(10, 244 + node / 256, node % 256, host) : frames::V6(node, host);
}

template <size_t N>
void CopyAddress(uint8_t (&to)[N], const Bytes& from) {
  std::memcpy(to, from.data(), from.size());
}

struct TableBuilder {
  fwd::TableHeader header{};
  std::vector<fwd::PrefixRecord> prefixes;
  std::vector<fwd::PeerRecord> peers;

  explicit TableBuilder(int node) {
    header.magic = fwd::kTableMagic;
    header.layout = fwd::kTableLayout;
    header.version = 7;
    header.overlay_mtu = 1450;
    CopyAddress(header.underlay_v4, Underlay(node, 4).bytes);
    CopyAddress(header.underlay_v6, Underlay(node, 6).bytes);
    std::memcpy(header.underlay_mac, NicMac(node).data(), 6);
    std::memcpy(header.vtep_mac, VtepMac(node).data(), 6);
    for (const int family : {4, 6}) {
      fwd::PrefixRecord prefix{};
      prefix.family = static_cast<uint8_t>(family);
      prefix.length = family == 4 ? 24 : 64;
      CopyAddress(prefix.address, Pod(node, family, 0).bytes);
      prefixes.push_back(prefix);
    }
  }
  // The IPv4 or IPv6 prefix of a node, reached over an underlay of either family.
  fwd::PeerRecord& AddPeer(int node, int family, int underlay_family) {
    fwd::PeerRecord peer{};
    peer.id = static_cast<uint32_t>(node * 10 + family);
    peer.flags = fwd::kPeerResolved;
    peer.prefix_family = static_cast<uint8_t>(family);
    peer.prefix_length = family == 4 ? 24 : 64;
    peer.underlay_family = static_cast<uint8_t>(underlay_family);
    CopyAddress(peer.prefix, Pod(node, family, 0).bytes);
    CopyAddress(peer.underlay, Underlay(node, underlay_family).bytes);
    std::memcpy(peer.vtep_mac, VtepMac(node).data(), 6);
    std::memcpy(peer.next_hop_mac, NicMac(node).data(), 6);
    peers.push_back(peer);
    return peers.back();
  }
  Bytes Flat() {
    header.local_prefix_count = static_cast<uint16_t>(prefixes.size());
    header.peer_count = static_cast<uint32_t>(peers.size());
    Bytes made(sizeof header + prefixes.size() * sizeof(fwd::PrefixRecord) +
               peers.size() * sizeof(fwd::PeerRecord));
    uint8_t* to = made.data();
    std::memcpy(to, &header, sizeof header);
    to += sizeof header;
    for (const auto& prefix : prefixes)
      to = static_cast<uint8_t*>(std::memcpy(to, &prefix, sizeof prefix)) + sizeof prefix;
    for (const auto& peer : peers)
      to = static_cast<uint8_t*>(std::memcpy(to, &peer, sizeof peer)) + sizeof peer;
    return made;
  }
  std::unique_ptr<const fwd::Snapshot> Build(const fwd::Format& format) {
    auto built = fwd::Snapshot::Build(Flat(), format);
    RS_ASSERT(built.ok());
    return std::move(built).value();
  }
};

}  // namespace testing_node
