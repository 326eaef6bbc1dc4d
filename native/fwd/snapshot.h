// The forwarding table as the packet path sees it: immutable once built, shared by all workers,
// freed after every worker has moved on (fwd/publisher.h). Built on the control thread from the
// flat form. Pure: no I/O, no clock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "fwd/exact_map.h"
#include "fwd/lpm4.h"
#include "fwd/lpm6.h"
#include "fwd/table_format.h"
#include "net/ethernet.h"

namespace fwd {

enum class Encapsulation : uint8_t { kVxlan, kUdp };

// Fixed for the life of a data plane; given to open().
struct Format {
  Encapsulation encapsulation = Encapsulation::kVxlan;
  uint32_t vni = 1;
  uint16_t port = 8472;          // UDP destination port, host order.
  uint16_t underlay_mtu = 1500;  // MTU of the underlay device.
  bool resolve_in_kernel =
      true;                  // The underlay port lets the kernel find next hops; peers need no MAC.
  bool checksum_v4 = false;  // Fill the outer UDP checksum on IPv4 too (always on IPv6).
  bool unfilled_checksums =
      true;  // The underlay may hand over frames of a local veth, whose outer or inner checksum
             // holds the pseudo-header sum only, without saying so (AF_XDP).
  uint8_t ttl = 64;        // Outer TTL / hop limit.
  bool copy_dscp = false;  // Outer DSCP from the inner packet (uniform model) instead of 0 (pipe).
  // Peers are ways to MAC addresses (path/bridge.h), not to prefixes: their records name no prefix,
  // and their VTEP MAC, where there is one, is a static forwarding entry.
  bool bridged = false;
};

inline constexpr uint32_t kOuterMax = 14 + 40 + 8 + 8;  // Ethernet + IPv6 + UDP + VXLAN.
inline constexpr uint32_t kNoPeer = 0xffffffff;
inline constexpr uint32_t kLocal = 0xfffffffe;  // LPM result for this node's own prefixes.

inline constexpr uint32_t kShared = 0xfffffffd;  // VTEP MAC that several nodes claim.

inline constexpr uint32_t kTemplateBytes = 80;

// Hot: what encap and decap touch. Two cache lines.
struct alignas(64) Peer {
  // Template: Ethernet, IP, UDP, VXLAN; lengths, checksums and source port are patched. It ends
  // where the array ends, so that encap copies all 80 bytes, a constant, and the inner packet
  // follows directly.
  uint8_t outer[kTemplateBytes];
  uint8_t outer_bytes;  // Used bytes of `outer`: 42/50 (IPv4 udp/VXLAN), 62/70 (IPv6).
  uint8_t family;       // Underlay family, 4 or 6.
  bool ready;           // May be sent to from user space (next hop known, or the kernel finds it).
  bool loops;           // Its public address lies inside the overlay.
  uint16_t ip_sum;  // One's complement sum of the IPv4 header template without length and checksum
                    // (not folded away).
  uint16_t table_mtu;  // Largest inner IP packet, as the table says.
  uint32_t id;
  uint8_t vtep_mac[6];
  mutable uint16_t inner_mtu;  // The same as the path has shown; through InnerMtu() only.
  uint8_t reserved[4];
  uint64_t pseudo_sum;  // Sum of the UDP pseudo header without length, for outer checksums.

  // Largest inner IP packet that reaches the peer whole. The one thing that changes after building
  // (Snapshot::LimitPath), hence atomic; a plain load on every machine we run on.
  uint16_t InnerMtu() const {
    return std::atomic_ref<uint16_t>(inner_mtu).load(std::memory_order_relaxed);
  }
};
static_assert(sizeof(Peer) == 128);

class Snapshot {
 public:
  // Checks the table completely before building anything; an Error names the record and the field.
  // `salt` keys the hash tables: a fresh random number per data plane, because whoever writes
  // leases chooses the keys.
  static base::Result<std::unique_ptr<const Snapshot>> Build(std::span<const uint8_t> table,
                                                             const Format& format,
                                                             uint64_t salt = 0x5bd1e9955bd1e995);

  const Format& format() const { return format_; }
  uint64_t version() const { return version_; }
  std::span<const Peer> peers() const { return peers_; }

  // Peer index, kLocal or kNoPeer. `address` in network byte order.
  uint32_t FindInner4(uint32_t address_be) const { return inner4_.Find(address_be); }
  uint32_t FindInner6(const uint8_t* address) const { return inner6_.Find(address); }
  // Peer index by VTEP MAC or by public address (4 or 16 bytes, network order); kNoPeer when
  // unknown. A node that holds several prefixes has several peer records: the first one is
  // returned, and NodeOf joins them. A dual-stack node has one MAC and two public addresses: which
  // one a frame goes to follows from what it carries. kShared for a MAC that several nodes claim:
  // which of them a frame goes to follows from its inner destination.
  uint32_t FindVtep(const uint8_t* mac, uint16_t ether_type) const {
    return FindVtep(VtepKey(net::MacKey(mac), ether_type == net::kEtherTypeIpv6));
  }
  uint32_t FindVtep(uint64_t vtep_key) const { return vteps_.Find(vtep_key); }
  static uint64_t VtepKey(uint64_t mac_key, bool ipv6) { return mac_key | uint64_t{ipv6} << 48; }
  uint32_t FindUnderlay4(uint32_t address_be) const { return underlay4_.Find(address_be); }
  uint32_t FindUnderlay6(const uint8_t* address) const {
    return underlay6_.Find(Key128::Of(address));
  }

  // Bridged only: peer index by its id, which outlives a table; kNoPeer when it is gone.
  uint32_t FindId(uint32_t id) const { return ids_.Find(id); }

  // Ahead of the corresponding Find, so that a large table costs no wait.
  void PrefetchVtep(uint64_t vtep_key) const { vteps_.Prefetch(vtep_key); }
  void PrefetchPeer(uint32_t peer) const {
    __builtin_prefetch(peers_.data() + peer);
    __builtin_prefetch(reinterpret_cast<const uint8_t*>(peers_.data() + peer) + 64);
  }
  void PrefetchUnderlay4(uint32_t address_be) const { underlay4_.Prefetch(address_be); }
  void PrefetchUnderlay6(const uint8_t* address) const { underlay6_.Prefetch(Key128::Of(address)); }
  // Of a peer record: the first record with the same public address, which is also what the
  // FindUnderlay functions return. Kept apart from Peer, because decap needs nothing else of it.
  uint32_t NodeOf(uint32_t peer) const { return nodes_[peer]; }

  // Control threads, under the lock of engine/path_mtu_listener.h, while workers read: the path to
  // a node (NodeOf) carries outer IP packets of at most `path_mtu` bytes; it is as the table says.
  void LimitPath(uint32_t node, uint16_t path_mtu) const;
  void UnlimitPath(uint32_t node) const { LimitPath(node, 0xffff); }

  const uint8_t* vtep_mac() const { return vtep_mac_.data(); }
  uint64_t vtep_mac_key() const { return vtep_mac_key_; }
  // What a VXLAN header of ours holds, as it lies in memory.
  uint64_t vxlan_header() const { return vxlan_header_; }
  uint32_t underlay_v4_be() const { return underlay_v4_be_; }
  const uint8_t* underlay_v6() const { return underlay_v6_.data(); }
  uint16_t overlay_mtu() const { return overlay_mtu_; }

 private:
  Snapshot(Lpm4 inner4, Lpm6 inner6) : inner4_(std::move(inner4)), inner6_(std::move(inner6)) {}
  void AddVtep(const PeerRecord& record, uint32_t peer);
  Format format_;
  uint64_t version_ = 0;
  std::vector<Peer> peers_;
  std::vector<uint32_t> nodes_;
  Lpm4 inner4_;
  Lpm6 inner6_;
  ExactMap<uint64_t> vteps_;
  ExactMap<uint64_t> ids_;
  ExactMap<uint64_t> underlay4_;
  ExactMap<Key128> underlay6_;
  std::array<uint8_t, 6> vtep_mac_{};
  uint64_t vtep_mac_key_ = 0;
  uint64_t vxlan_header_ = 0;
  uint32_t underlay_v4_be_ = 0;
  std::array<uint8_t, 16> underlay_v6_{};
  uint16_t overlay_mtu_ = 0;
};

}  // namespace fwd
