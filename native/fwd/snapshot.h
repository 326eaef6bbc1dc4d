// The forwarding table as the packet path sees it: immutable once built, shared by all workers,
// freed after every worker has moved on (fwd/publisher.h). Built on the control thread from the
// flat form. Pure: no I/O, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "fwd/lpm4.h"
#include "fwd/lpm6.h"
#include "fwd/table_format.h"

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
  uint8_t ttl = 64;          // Outer TTL / hop limit.
  bool copy_dscp = false;  // Outer DSCP from the inner packet (uniform model) instead of 0 (pipe).
};

inline constexpr uint32_t kOuterMax = 14 + 40 + 8 + 8;  // Ethernet + IPv6 + UDP + VXLAN.
inline constexpr uint32_t kNoPeer = 0xffffffff;
inline constexpr uint32_t kLocal = 0xfffffffe;  // LPM result for this node's own prefixes.

// Hot: what encap and decap touch. Two cache lines.
struct alignas(64) Peer {
  uint8_t outer[80];  // Template: Ethernet, IP, UDP, VXLAN; lengths, checksums and source port are
                      // patched.
  uint8_t outer_bytes;  // Used bytes of `outer`: 42/50 (IPv4 udp/VXLAN), 62/70 (IPv6).
  uint8_t family;       // Underlay family, 4 or 6.
  bool ready;           // May be sent to from user space (next hop known, or the kernel finds it).
  bool loops;           // Its public address lies inside the overlay.
  uint16_t ip_sum;  // One's complement sum of the IPv4 header template without length and checksum
                    // (not folded away).
  uint16_t inner_mtu;  // Largest inner IP packet.
  uint32_t id;
  uint8_t vtep_mac[6];
  uint8_t reserved[2];
  uint32_t pseudo_sum;  // Sum of the UDP pseudo header without length, for outer checksums.
};

class Snapshot {
 public:
  // Checks the table completely before building anything; an Error names the record and the field.
  static base::Result<std::unique_ptr<const Snapshot>> Build(std::span<const uint8_t> table,
                                                             const Format& format);

  const Format& format() const { return format_; }
  uint64_t version() const { return version_; }
  std::span<const Peer> peers() const { return peers_; }

  // Peer index, kLocal or kNoPeer. `address` in network byte order.
  uint32_t FindInner4(uint32_t address_be) const { return inner4_.Find(address_be); }
  uint32_t FindInner6(const uint8_t* address) const { return inner6_.Find(address); }
  // Peer index by VTEP MAC or by public address (4 or 16 bytes, network order); kNoPeer when
  // unknown. A node has several peer records (one per prefix) when it holds several prefixes: the
  // first one is returned, and `same_node` of it lists whether another record belongs to the same
  // public address.
  uint32_t FindVtep(const uint8_t* mac) const;
  uint32_t FindUnderlay4(uint32_t address_be) const;
  uint32_t FindUnderlay6(const uint8_t* address) const;

  const uint8_t* vtep_mac() const { return vtep_mac_.data(); }
  uint32_t underlay_v4_be() const { return underlay_v4_be_; }
  const uint8_t* underlay_v6() const { return underlay_v6_.data(); }
  uint16_t overlay_mtu() const { return overlay_mtu_; }

 private:
  Snapshot() = default;
  // Members are the implementer's; see snapshot.cc.
  Format format_;
  uint64_t version_ = 0;
  std::vector<Peer> peers_;
  Lpm4 inner4_;
  Lpm6 inner6_;
  std::array<uint8_t, 6> vtep_mac_{};
  uint32_t underlay_v4_be_ = 0;
  std::array<uint8_t, 16> underlay_v6_{};
  uint16_t overlay_mtu_ = 0;
};

}  // namespace fwd
