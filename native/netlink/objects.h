// The rtnetlink objects Ripstop programs, as plain values, with one Encode (request) and one Decode
// (answer or event) each. The same struct serves both ways: an optional that is empty is not sent,
// or was not told. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "netlink/ip_address.h"
#include "netlink/message.h"

namespace netlink {

enum class Verb : uint8_t { kAdd, kReplace, kChange, kDelete };

struct Vxlan {
  std::optional<uint32_t> vni;
  std::optional<uint16_t> port;  // Host order.
  std::optional<IpAddress> local;
  std::optional<IpAddress> group;
  std::optional<uint32_t> lower_index;
  std::optional<uint8_t> ttl;
  std::optional<uint8_t> tos;
  std::optional<bool> learning;
  std::optional<bool> proxy;
  std::optional<bool> rsc;
  std::optional<bool> l2miss;
  std::optional<bool> l3miss;
  std::optional<bool> udp_checksum;
  std::optional<bool> udp6_zero_checksum_tx;
  std::optional<bool> udp6_zero_checksum_rx;
  bool gbp = false;
};

struct IpTunnel {
  std::optional<IpAddress> local;
  std::optional<IpAddress> remote;
};

// Sent only: the other end, and how many queues each end has both ways.
struct Veth {
  std::string peer_name;
  std::optional<uint32_t> peer_mtu;
  uint32_t queues = 1;
};

struct Link {
  int32_t index = 0;
  std::string name;
  std::string kind;
  std::optional<Mac> mac;
  std::optional<uint32_t> mtu;
  std::optional<uint32_t> master_index;
  std::optional<uint32_t> lower_index;  // IFLA_LINK.
  std::optional<bool> up;
  std::optional<bool> carrier;
  uint32_t flags = 0;  // IFF_*; told, never sent.
  std::optional<Vxlan> vxlan;
  std::optional<IpTunnel> ip_tunnel;
  std::optional<Veth> veth;
  std::optional<uint32_t> gso_segments_max;  // Sent only: longer super-packets are cut before it.
};

struct Address {
  int32_t link_index = 0;
  IpPrefix prefix;
  std::optional<IpAddress>
      local;  // Own end where `prefix` is the peer of a point-to-point address.
  uint8_t scope = 0;
  uint32_t flags = 0;  // IFA_F_*.
};

struct NextHop {
  std::optional<IpAddress> gateway;
  uint32_t link_index = 0;
  bool onlink = false;
};

struct Route {
  IpPrefix destination;
  std::optional<IpAddress> gateway;
  std::optional<uint32_t> link_index;
  std::optional<IpAddress> preferred_source;
  std::optional<uint32_t> priority;
  std::optional<uint32_t> mtu;
  uint32_t table = 254;
  uint8_t protocol = 0;
  uint8_t scope = 0;
  uint8_t type = 1;
  bool onlink = false;
  std::vector<NextHop> next_hops;  // Of a multipath route; told, never sent.
};

// An IP neighbor, or an FDB entry when `fdb` is set (then `address` is the remote VTEP).
struct Neighbor {
  bool fdb = false;
  int32_t link_index = 0;
  std::optional<IpAddress> address;
  std::optional<Mac> mac;
  uint16_t state = 0;      // NUD_*.
  uint8_t flags = 0;       // NTF_*.
  uint32_t ext_flags = 0;  // NTF_EXT_*, kernel >= 5.16.
  std::optional<uint8_t> protocol;
};

struct Rule {
  uint8_t family = 0;
  std::optional<IpPrefix> source;
  std::optional<IpPrefix> destination;
  std::optional<uint32_t> priority;
  std::optional<uint32_t> mark;
  std::optional<uint32_t> mask;
  uint32_t table = 254;
  uint8_t action = 1;  // FR_ACT_TO_TBL.
  uint8_t protocol = 0;
};

using Object = std::variant<Link, Address, Route, Neighbor, Rule>;

void Encode(MessageBatch& batch, Verb verb, const Link& link);
void Encode(MessageBatch& batch, Verb verb, const Address& address);
void Encode(MessageBatch& batch, Verb verb, const Route& route);
void Encode(MessageBatch& batch, Verb verb, const Neighbor& neighbor);
void Encode(MessageBatch& batch, Verb verb, const Rule& rule);

struct Notice {
  bool deleted = false;
  Object object;
};
// Nothing for message types that are not one of ours, and for bodies too short to be what they
// claim.
std::optional<Notice> Decode(uint16_t type, std::span<const uint8_t> body);

std::optional<Link> DecodeLink(std::span<const uint8_t> body);
std::optional<Address> DecodeAddress(std::span<const uint8_t> body);
std::optional<Route> DecodeRoute(std::span<const uint8_t> body);
std::optional<Neighbor> DecodeNeighbor(std::span<const uint8_t> body);
std::optional<Rule> DecodeRule(std::span<const uint8_t> body);

enum class Kind : uint8_t { kLink, kAddress, kRoute, kNeighbor, kFdb, kRule };

// What a dump shall contain. The kernel filters where it can (strict checking); callers must still
// look at each object, because kernels differ in what they filter.
struct Query {
  Kind kind = Kind::kLink;
  uint8_t family = 0;
  uint32_t link_index = 0;
  uint32_t table = 0;
  uint8_t protocol = 0;
};
void EncodeDump(MessageBatch& batch, const Query& query);
void EncodeRouteGet(MessageBatch& batch, const IpAddress& destination, uint32_t mark);
void EncodeNeighborGet(MessageBatch& batch, const IpAddress& address, uint32_t link_index);
void EncodeLinkGet(MessageBatch& batch, const std::string& name);

// NLM_F_* of a verb on `type` objects that can be created.
uint16_t FlagsOf(Verb verb);

}  // namespace netlink
