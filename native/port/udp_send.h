// Turns a batch of encapsulated packets into as few sends as possible: datagrams of one size to one
// peer become one message with UDP_SEGMENT. Order within a peer is kept. Thread: the worker. No
// allocation.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "port/udp_socket.h"

namespace port {

class UdpSend {
 public:
  // Adds a packet whose outer headers encap has written; false when it has none to strip.
  bool Add(const pkt::Packet* packet, bool segmentation);
  // Sends everything added over the socket and counts it.
  void Run(UdpSocket& socket, pkt::LaneCounters& counters);

 private:
  // The kernel takes 64 segments from 4.18 on (128 since 6.9), and what one IP packet can hold.
  static constexpr uint32_t kSegmentsMax = 64;
  static constexpr uint32_t kBytesMax = 65000;

  struct Group {
    UdpPeer peer;
    uint32_t segment = 0;  // Bytes of each datagram but the last.
    uint32_t bytes = 0;
    uint8_t count = 0;
    bool closed = false;  // A shorter datagram ended it.
    std::array<uint8_t, pkt::kBatchMax> members;
  };

  bool Join(Group& group, uint32_t bytes, bool segmentation) const;
  void Prepare(const Group& group, uint32_t index, bool segmentation);
  void Refused(UdpSocket& socket, const Group& group, int error, pkt::LaneCounters& counters);
  void Sent(const Group& group, pkt::LaneCounters& counters) const;

  const pkt::Packet* packets_[pkt::kBatchMax];
  uint32_t packet_count_ = 0;
  Group groups_[pkt::kBatchMax];
  uint32_t group_count_ = 0;

  mmsghdr messages_[pkt::kBatchMax];
  iovec vectors_[pkt::kBatchMax];
  uint32_t vector_count_ = 0;
  sockaddr_storage addresses_[pkt::kBatchMax];
  // UDP_SEGMENT (2 bytes) and TOS or traffic class (4 bytes).
  alignas(cmsghdr)
      uint8_t control_[pkt::kBatchMax][CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
};

}  // namespace port
