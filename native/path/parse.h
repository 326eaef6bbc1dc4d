// Reads the header of one IP packet once, so that the rest of the path need not ask again. Pure;
// trusts no length.
#pragma once

#include <cstdint>

#include "net/flow_hash.h"
#include "pkt/drop_reason.h"
#include "pkt/packet.h"

namespace path {

// "No drop reason": the check passed.
inline constexpr pkt::DropReason kPass = pkt::DropReason::kCount;

struct IpView {
  uint8_t family = 0;    // 4 or 6.
  uint8_t protocol = 0;  // Of the L4 header, behind IPv6 extension headers.
  uint8_t tos = 0;       // DSCP and ECN.
  uint8_t ttl = 0;
  bool fragment = false;        // A fragment of a larger packet, the first one included.
  bool later_fragment = false;  // A fragment other than the first: no L4 header inside.
  bool may_fragment = false;    // IPv4 with DF clear.
  uint16_t l4 =
      0;  // Bytes from the IP header to the L4 header; 0 when there is none that we understand.
  uint32_t bytes = 0;  // The IP packet's length by its own account.
};

// Reads the packet at `ip`, of which `available` bytes exist. kInnerType: neither IPv4 nor IPv6, or
// another version than `ether_type` says. kInnerLength: a length field is shorter than the header
// or longer than what is there.
pkt::DropReason ParseIp(const uint8_t* ip, uint32_t available, uint16_t ether_type, IpView& view);

// Checks checksum and segmentation metadata against the parsed packet `ip_offset` bytes into the
// frame, and counts the segments from gso_size and the true header lengths. kRxTruncated when they
// contradict each other.
pkt::DropReason CheckOffload(pkt::Packet& packet, uint32_t ip_offset, const IpView& view);

// True when the packet is UDP to `port` and carries a packet of our own format and VNI:
// encapsulated twice.
bool IsNested(const uint8_t* ip, const IpView& view, uint16_t port, bool vxlan, uint32_t vni);

// The flow's hash; fragments, the first one included, hash without ports so that a packet's
// fragments stay in order.
uint32_t HashFlow(const uint8_t* ip, const IpView& view);

}  // namespace path
