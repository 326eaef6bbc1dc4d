// What routers have said about the paths to our peers (path/outer_icmp.h reads them), and for how
// long it counts. Pure: time is an argument. Owner: engine/path_mtu_listener.h, under its lock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fwd/snapshot.h"

namespace fwd {

struct PathMtu {
  uint8_t family = 0;  // Of the underlay, 4 or 6.
  std::array<uint8_t, 16>
      peer{};        // The peer's public address, network order; IPv4 uses the first 4 bytes.
  uint16_t mtu = 0;  // Largest outer IP packet that passes, bytes; at least the family's least.
};

class PathMtus {
 public:
  // As long as the kernel keeps its own (net.ipv4.route.mtu_expires); then the path is tried again
  // at its full size (RFC 1191 section 6.3, RFC 8201 section 4).
  static constexpr uint64_t kLifetimeNs = 600'000'000'000;

  // Remembers a lower MTU, or that the same one was said again. False when it teaches nothing: a
  // higher one than known, or about an address that is no peer of `table`. Lowers the path in
  // `table` at once.
  bool Learn(const PathMtu& learned, uint64_t now_ns, const Snapshot& table);
  // Forgets what is too old, and gives those paths of `table` back what the table says.
  void Expire(uint64_t now_ns, const Snapshot& table);
  // When something becomes too old; UINT64_MAX when nothing is known.
  uint64_t NextExpiry() const;
  // Lowers the paths of a table that is about to be published; forgets peers that it does not hold.
  void Follow(const Snapshot& next);
  uint32_t size() const { return static_cast<uint32_t>(known_.size()); }

 private:
  struct Known {
    PathMtu path;
    uint64_t expires_ns;
  };
  // Few at any time: a path of less than full size is the exception. Never more than peers.
  std::vector<Known> known_;
};

}  // namespace fwd
