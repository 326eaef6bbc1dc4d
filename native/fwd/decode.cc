// Field by field, then record against record. Control thread; pure.
#include "fwd/decode.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "net/ipv4.h"
#include "net/ipv6.h"

namespace fwd {

namespace {

// Linux's min_pmtu: what a path MTU below it is raised to anyway.
constexpr uint16_t kPathMtuMin4 = 552;
constexpr uint16_t kPathMtuMin6 = 1280;  // RFC 8200 section 5.

base::Error Wrong(const std::string& field, const std::string& why) {
  return base::Error{"TABLE_INVALID", 0, "fwd::Decode", "peer table: " + field + " " + why};
}

template <size_t N>
bool AllZero(const uint8_t (&bytes)[N], size_t from = 0) {
  return std::all_of(bytes + from, bytes + N, [](uint8_t byte) { return byte == 0; });
}

bool Carriable(const uint8_t* address, uint8_t family) {
  return family == 4 ? net::Ipv4::Carriable(address) : net::Ipv6::Carriable(address);
}

// Empty when right, else what is wrong with it.
std::string CheckPrefix(const uint8_t (&address)[16], uint8_t family, uint8_t length) {
  if (family != 4 && family != 6) return "has family " + std::to_string(family) + ", want 4 or 6";
  const uint32_t bits = family == 4 ? 32 : 128;
  if (length == 0 || length > bits)
    return "has length " + std::to_string(length) + ", want 1 to " + std::to_string(bits);
  for (uint32_t bit = length; bit < 128; ++bit) {
    if (address[bit / 8] >> (7 - bit % 8) & 1) return "has bits set after its length";
  }
  if (!Carriable(address, family)) return "is not a unicast prefix that an overlay may use";
  return {};
}

bool Covers(const uint8_t* prefix, uint8_t length, const uint8_t* address) {
  if (std::memcmp(prefix, address, length / 8) != 0) return false;
  const uint8_t rest = length % 8;
  return rest == 0 || ((prefix[length / 8] ^ address[length / 8]) >> (8 - rest)) == 0;
}

bool Overlap(const PrefixRecord& a, uint8_t family, uint8_t length, const uint8_t* address) {
  return a.family == family && Covers(a.address, std::min(a.length, length), address);
}

std::string PrefixKey(uint8_t family, uint8_t length, const uint8_t (&address)[16]) {
  std::string key(reinterpret_cast<const char*>(address), sizeof address);
  return key + static_cast<char>(family) + static_cast<char>(length);
}

std::string CheckHeader(const TableHeader& header) {
  if (header.magic != kTableMagic) return "magic is wrong: this is not a peer table";
  if (header.layout != kTableLayout)
    return "layout is " + std::to_string(header.layout) +
           ", want 1: addon and JavaScript differ in version";
  if (header.peer_count > kPeersMax)
    return "peer_count is " + std::to_string(header.peer_count) + ", at most 16384 fit";
  if (header.local_prefix_count > kLocalPrefixesMax)
    return "local_prefix_count is " + std::to_string(header.local_prefix_count) +
           ", at most 64 fit";
  if (header.reserved0 != 0 || !AllZero(header.reserved1)) return "reserved bytes are not zero";
  if (header.overlay_mtu < 68) return "overlay_mtu is below 68";
  if (!AllZero(header.underlay_v4, 4)) return "underlay_v4 is longer than an IPv4 address";
  if (!AllZero(header.underlay_v4) && !net::Ipv4::Carriable(header.underlay_v4))
    return "underlay_v4 is not a unicast address";
  if (!AllZero(header.underlay_v6) && !net::Ipv6::Carriable(header.underlay_v6))
    return "underlay_v6 is not a global unicast address";
  return {};
}

std::string CheckPeer(const PeerRecord& peer, const TableHeader& header, const Format& format) {
  if ((peer.flags & ~kPeerResolved) != 0) return "flags has unknown bits";
  if (!AllZero(peer.reserved)) return "reserved bytes are not zero";
  if (format.bridged) {
    if (peer.prefix_family != 0 || peer.prefix_length != 0 || !AllZero(peer.prefix))
      return "prefix is given, but a bridged overlay knows no prefixes";
  } else if (std::string wrong = CheckPrefix(peer.prefix, peer.prefix_family, peer.prefix_length);
             !wrong.empty()) {
    return "prefix " + wrong;
  }
  const uint8_t family = peer.underlay_family;
  if (family != 4 && family != 6)
    return "underlay_family is " + std::to_string(family) + ", want 4 or 6";
  if (family == 4 && !AllZero(peer.underlay, 4)) return "underlay is longer than an IPv4 address";
  if (!Carriable(peer.underlay, family)) return "underlay is not a unicast address";
  const uint8_t(&own)[16] = family == 4 ? header.underlay_v4 : header.underlay_v6;
  if (AllZero(own)) return "underlay is of a family in which this node has no underlay address";
  if (std::memcmp(own, peer.underlay, sizeof own) == 0)
    return "underlay is this node's own address";
  if (peer.path_mtu != 0 && peer.path_mtu < (family == 4 ? kPathMtuMin4 : kPathMtuMin6)) {
    return "path_mtu is " + std::to_string(peer.path_mtu) + ", below the least its family allows";
  }
  const bool needs_mac = format.encapsulation == Encapsulation::kVxlan && !format.bridged;
  if ((needs_mac && AllZero(peer.vtep_mac)) || (peer.vtep_mac[0] & 1) != 0) {
    return "vtep_mac is not a unicast MAC";
  }
  return {};
}

// What only shows when records are held against each other.
class Uniqueness {
 public:
  explicit Uniqueness(const DecodedTable& table) : table_(table) {}

  std::string Prefix(uint8_t family, uint8_t length, const uint8_t (&address)[16]) {
    return prefixes_.insert(PrefixKey(family, length, address)).second ? ""
                                                                       : "prefix is listed twice";
  }
  std::string Peer(const PeerRecord& peer) {
    for (const PrefixRecord& local : table_.prefixes) {
      if (Overlap(local, peer.prefix_family, peer.prefix_length, peer.prefix))
        return "prefix overlaps one of this node";
    }
    if (!ids_.insert(peer.id).second) return "id " + std::to_string(peer.id) + " is listed twice";
    if (!AllZero(peer.vtep_mac)) {
      if (std::memcmp(peer.vtep_mac, table_.header.vtep_mac, 6) == 0)
        return "vtep_mac is this node's own";
      // Where there are prefixes, they tell nodes apart that claim one MAC.
      const std::string node = PrefixKey(peer.underlay_family, 0, peer.underlay);
      if (peer.prefix_family == 0 &&
          macs_.try_emplace(net::MacKey(peer.vtep_mac), node).first->second != node)
        return "vtep_mac is held by two public addresses";
    }
    if (peer.prefix_family == 0) return {};  // Bridged.
    return Prefix(peer.prefix_family, peer.prefix_length, peer.prefix);
  }

 private:
  const DecodedTable& table_;
  std::unordered_set<std::string> prefixes_;
  std::unordered_set<uint32_t> ids_;
  std::unordered_map<uint64_t, std::string> macs_;
};

}  // namespace

base::Result<DecodedTable> Decode(std::span<const uint8_t> table, const Format& format) {
  DecodedTable decoded;
  TableHeader& header = decoded.header;
  if (table.size() < sizeof header)
    return Wrong("size", "is " + std::to_string(table.size()) + " bytes, shorter than its header");
  std::memcpy(&header, table.data(), sizeof header);
  if (std::string wrong = CheckHeader(header); !wrong.empty()) return Wrong("header:", wrong);
  const size_t prefix_bytes = header.local_prefix_count * sizeof(PrefixRecord);
  const size_t peer_bytes = header.peer_count * sizeof(PeerRecord);
  if (table.size() != sizeof header + prefix_bytes + peer_bytes) {
    return Wrong("size", "is " + std::to_string(table.size()) + " bytes, its counts ask for " +
                             std::to_string(sizeof header + prefix_bytes + peer_bytes));
  }
  decoded.prefixes.resize(header.local_prefix_count);
  decoded.peers.resize(header.peer_count);
  if (prefix_bytes != 0)
    std::memcpy(decoded.prefixes.data(), table.data() + sizeof header, prefix_bytes);
  if (peer_bytes != 0)
    std::memcpy(decoded.peers.data(), table.data() + sizeof header + prefix_bytes, peer_bytes);

  Uniqueness unique(decoded);
  for (size_t i = 0; i < decoded.prefixes.size(); ++i) {
    const PrefixRecord& prefix = decoded.prefixes[i];
    std::string wrong = CheckPrefix(prefix.address, prefix.family, prefix.length);
    if (wrong.empty() && !AllZero(prefix.reserved)) wrong = "has reserved bytes that are not zero";
    if (wrong.empty()) wrong = unique.Prefix(prefix.family, prefix.length, prefix.address);
    if (!wrong.empty()) return Wrong("local prefix " + std::to_string(i) + ":", wrong);
  }
  for (size_t i = 0; i < decoded.peers.size(); ++i) {
    const PeerRecord& peer = decoded.peers[i];
    std::string wrong = CheckPeer(peer, header, format);
    if (wrong.empty()) wrong = unique.Peer(peer);
    if (!wrong.empty()) return Wrong("peer record " + std::to_string(i) + ":", wrong);
  }
  return decoded;
}

}  // namespace fwd
