#include "port/udp_send.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>

#include "net/udp.h"

namespace port {

namespace {

constexpr int kUdpSegment = 103;  // UDP_SEGMENT, 4.18.

uint32_t PayloadOffset(const pkt::Packet& packet) {
  return packet.outer_l4_offset + net::kUdpBytes;
}

template <typename T>
cmsghdr* Append(msghdr& header, cmsghdr* at, int level, int type, T value) {
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(at), &value, sizeof value);
  header.msg_controllen += CMSG_SPACE(sizeof value);
  return reinterpret_cast<cmsghdr*>(reinterpret_cast<uint8_t*>(at) + CMSG_SPACE(sizeof value));
}

pkt::DropReason ReasonOf(int error) {
  if (error == EAGAIN || error == ENOBUFS || error == ENOMEM) return pkt::DropReason::kTxFull;
  return error == EMSGSIZE ? pkt::DropReason::kTooBig : pkt::DropReason::kTxError;
}

}  // namespace

bool UdpSend::Join(Group& group, uint32_t bytes, bool segmentation) const {
  if (!segmentation || group.closed || bytes > group.segment || group.count == kSegmentsMax ||
      group.bytes + bytes > kBytesMax)
    return false;
  group.closed = bytes < group.segment;
  return true;
}

bool UdpSend::Add(const pkt::Packet* packet, bool segmentation) {
  if (packet->inner_offset == 0 || packet->len <= PayloadOffset(*packet)) return false;
  const uint32_t bytes = packet->len - PayloadOffset(*packet);
  const UdpPeer peer = ReadOuter(packet->data, packet->outer_l4_offset);
  Group* group = nullptr;
  // Only the latest group of a peer may grow: packets to it stay in order.
  for (uint32_t i = group_count_; i-- > 0;) {
    if (!(groups_[i].peer == peer)) continue;
    if (Join(groups_[i], bytes, segmentation)) group = &groups_[i];
    break;
  }
  if (group == nullptr) {
    group = &groups_[group_count_++];
    group->peer = peer;
    group->segment = bytes;
    group->bytes = 0;
    group->count = 0;
    group->closed = false;
  }
  group->members[group->count++] = static_cast<uint8_t>(packet_count_);
  group->bytes += bytes;
  packets_[packet_count_++] = packet;
  return true;
}

void UdpSend::Prepare(const Group& group, uint32_t index, bool segmentation) {
  msghdr& header = messages_[index].msg_hdr;
  std::memset(&messages_[index], 0, sizeof messages_[index]);
  header.msg_name = &addresses_[index];
  header.msg_namelen = WriteAddress(group.peer, &addresses_[index]);
  header.msg_iov = &vectors_[vector_count_];
  header.msg_iovlen = group.count;
  for (uint32_t i = 0; i < group.count; ++i) {
    const pkt::Packet& packet = *packets_[group.members[i]];
    const uint32_t offset = PayloadOffset(packet);
    vectors_[vector_count_++] = {packet.data + offset, packet.len - offset};
  }
  header.msg_control = control_[index];
  auto* next = reinterpret_cast<cmsghdr*>(control_[index]);
  const bool v4 = group.peer.address.family == 4;
  next = Append<int>(header, next, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS,
                     group.peer.tos);
  if (segmentation && group.count > 1)
    Append<uint16_t>(header, next, SOL_UDP, kUdpSegment, static_cast<uint16_t>(group.segment));
}

void UdpSend::Sent(const Group& group, pkt::LaneCounters& counters) const {
  for (uint32_t i = 0; i < group.count; ++i) {
    counters.tx_packets.Add(packets_[group.members[i]]->segments);
    counters.tx_bytes.Add(packets_[group.members[i]]->len);
    counters.tx_frames.Add(1);
  }
}

// A device that cannot fill checksums refuses segmentation (EIO): once more in single datagrams,
// and so from now on.
void UdpSend::Refused(UdpSocket& socket, const Group& group, int error,
                      pkt::LaneCounters& counters) {
  if (group.count == 1 || error != EIO) {
    for (uint32_t i = 0; i < group.count; ++i)
      counters.Drop(ReasonOf(error), packets_[group.members[i]]->segments);
    return;
  }
  socket.sends_segments = false;
  for (uint32_t i = 0; i < group.count; ++i) {
    Group single;
    single.peer = group.peer;
    single.members[0] = group.members[i];
    single.count = 1;
    vector_count_ = 0;
    Prepare(single, 0, false);
    if (sendmsg(socket.fd.get(), &messages_[0].msg_hdr, MSG_DONTWAIT) >= 0) {
      Sent(single, counters);
    } else {
      counters.Drop(ReasonOf(errno), packets_[single.members[0]]->segments);
    }
  }
}

void UdpSend::Run(UdpSocket& socket, pkt::LaneCounters& counters) {
  uint32_t done = 0;
  while (done < group_count_) {
    // Prepared anew after a refusal, which uses the same memory and may have ended segmentation.
    vector_count_ = 0;
    const uint32_t count = group_count_ - done;
    for (uint32_t i = 0; i < count; ++i) Prepare(groups_[done + i], i, true);
    const int n = sendmmsg(socket.fd.get(), messages_, count, MSG_DONTWAIT);
    for (int i = 0; i < n; ++i) Sent(groups_[done++], counters);
    if (n > 0) continue;
    Refused(socket, groups_[done], errno, counters);
    ++done;
  }
}

}  // namespace port
