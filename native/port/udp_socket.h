// One UDP socket of the port `udp`: bound, tuned, with segmentation offload both ways where the
// kernel has it, and the translation between a peer's socket address and the outer headers that the
// path reads and writes. Owner: UdpPort. Thread: Open on the control thread, the rest on the
// worker.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace port {

// An address of either family: 4 or 16 bytes used, network order.
struct UdpAddress {
  uint8_t family = 0;  // 4 or 6; 0 for none.
  std::array<uint8_t, 16> bytes{};
  static UdpAddress Ip4(uint32_t address_be);
  static UdpAddress Ip6(const uint8_t* address);
  std::string Text() const;
  friend bool operator==(const UdpAddress&, const UdpAddress&) = default;
};

// Who is at the other end of a datagram, and what the IP header said besides.
struct UdpPeer {
  UdpAddress address;
  uint16_t port = 0;
  uint8_t tos = 0;
  friend bool operator==(const UdpPeer&, const UdpPeer&) = default;
};

struct UdpSocketOptions {
  UdpAddress local;
  uint16_t port = 8285;
  // Packets leave through this interface; those that came in through another one are told apart by
  // UdpControl::ifindex, not left to the kernel, which would answer a stranger. Empty for any.
  std::string device;
  bool segmentation = true;
  bool reuse_port = false;  // Other sockets of ours may be bound to the same port.
};

struct UdpSocket {
  base::UniqueFd fd;
  UdpAddress local;
  uint16_t port = 0;
  uint32_t ifindex = 0;             // Of the device; 0 for any.
  bool sends_segments = false;      // UDP_SEGMENT works; cleared for good when a device refuses.
  bool receives_coalesced = false;  // UDP_GRO.

  static base::Result<UdpSocket> Open(const UdpSocketOptions& options);
  uint64_t ReadDrops() const;  // Any thread.
};

// What the kernel says beside a datagram.
struct UdpControl {
  static constexpr uint32_t kBytesMax =
      2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(in6_pktinfo));
  uint8_t tos = 0;
  uint32_t segment = 0;  // Bytes of each datagram of a coalesced message; 0: it is one.
  uint32_t ifindex = 0;  // Where it came in.
};
UdpControl ReadControl(const msghdr& header);

UdpPeer PeerFrom(const sockaddr_storage& address, uint8_t tos);
// Returns the length of what was written.
socklen_t WriteAddress(const UdpPeer& peer, sockaddr_storage* address);

// Ethernet (zero addresses), IP and UDP without checksum, as if the datagram had come over a wire.
// `header` has room for UdpOuterBytes(); `payload` bytes follow it.
uint32_t UdpOuterBytes(uint8_t family);
void WriteOuter(const UdpPeer& from, const UdpSocket& to, uint32_t payload, uint8_t* header);
// What encap wrote in front of a packet: destination, destination port, TOS.
UdpPeer ReadOuter(const uint8_t* frame, uint32_t udp_offset);

}  // namespace port
