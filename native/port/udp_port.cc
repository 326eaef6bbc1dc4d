#include "port/udp_port.h"

#include <netinet/udp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/ethernet.h"
#include "port/udp_send.h"

namespace port {

namespace {

constexpr uint32_t kFrameStep = 2048;

}  // namespace

base::Result<std::unique_ptr<UdpPort>> UdpPort::Open(const UdpOptions& options) {
  std::vector<UdpSocket> sockets;
  for (const UdpAddress& local : {options.local4, options.local6}) {
    if (local.family == 0) continue;
    const bool shared = options.share.count > 1 || options.handover;
    auto socket =
        UdpSocket::Open({local, options.port, options.device, options.segmentation, shared});
    if (!socket.ok()) return socket.error();
    sockets.push_back(std::move(socket).value());
  }
  if (sockets.empty())
    return base::Error{"UDP_SOCKET_FAILED", 0, "UdpPort::Open", "no local address was given"};
  const uint32_t needed = pkt::kHeadroomBytes + UdpOuterBytes(6) + options.mtu;
  auto pool =
      pkt::FramePool::Create(options.frames, (needed + kFrameStep - 1) / kFrameStep * kFrameStep);
  if (!pool.ok()) return pool.error();
  auto buffers = pkt::FramePool::Create(kMessages + (options.whole ? kWholeMax : 0),
                                        kMessageBytes + kFrameStep);
  if (!buffers.ok()) return buffers.error();
  std::unique_ptr<UdpPort> port(
      new UdpPort(std::move(sockets), std::move(pool).value(), std::move(buffers).value()));
  if (options.joined) {
    if (auto status = port->GiveTo(Turn::kPredecessor); !status.ok()) return status.error();
  }
  if (auto status = port->WatchSockets(); !status.ok()) return status.error();
  port->capabilities_.frame_bytes_max = options.mtu + net::kEthernetBytes;
  return port;
}

UdpPort::UdpPort(std::vector<UdpSocket> sockets, std::unique_ptr<pkt::FramePool> pool,
                 std::unique_ptr<pkt::FramePool> buffers)
    : sockets_(std::move(sockets)), pool_(std::move(pool)), buffers_(std::move(buffers)) {
  for (pkt::Packet*& held : held_) held = buffers_->Take();
  for (const UdpSocket& socket : sockets_) {
    if (!description_.empty()) description_ += "; ";
    description_ += socket.local.Text() + " port " + std::to_string(socket.port) +
                    ": UDP socket, " +
                    (socket.sends_segments ? "segmented sends" : "single sends") + ", " +
                    (socket.receives_coalesced ? "coalesced receives" : "single receives");
  }
}

base::Status UdpPort::WatchSockets() {
  if (sockets_.size() == 1) return base::Ok();
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  for (const UdpSocket& socket : sockets_) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (!epoll_.valid() || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.fd.get(), &event) != 0)
      return base::SystemError("UDP_SOCKET_FAILED", "epoll",
                               "raise the limit of open files (ulimit -n)");
  }
  return base::Ok();
}

base::Status UdpPort::GiveTo(Turn turn) {
  for (const UdpSocket& socket : sockets_) {
    if (auto status = GivePortTo(turn, socket.fd.get()); !status.ok()) return status;
  }
  return base::Ok();
}

int UdpPort::wait_fd() const { return epoll_.valid() ? epoll_.get() : sockets_[0].fd.get(); }

// The socket of the outer packet's family; sockets_.size() for what this port cannot send.
uint32_t UdpPort::SocketFor(const pkt::Packet& packet) const {
  const auto none = static_cast<uint32_t>(sockets_.size());
  if (packet.len <= net::kEthernetBytes || packet.super_packet() ||
      packet.checksum == pkt::Checksum::kPartial)
    return none;
  for (uint32_t i = 0; i < none; ++i) {
    if (packet.data[net::kEthernetBytes] >> 4 == sockets_[i].local.family) return i;
  }
  return none;
}

// Fills messages_ from the socket; false when there was nothing.
bool UdpPort::Read(UdpSocket& socket) {
  mmsghdr headers[kMessages] = {};
  iovec vectors[kMessages];
  sockaddr_storage addresses[kMessages];
  alignas(cmsghdr) uint8_t control[kMessages][UdpControl::kBytesMax];
  for (uint32_t i = 0; i < kMessages; ++i) {
    vectors[i] = {held_[i]->data, kMessageBytes};
    headers[i].msg_hdr.msg_name = &addresses[i];
    headers[i].msg_hdr.msg_namelen = sizeof addresses[i];
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_control = control[i];
    headers[i].msg_hdr.msg_controllen = UdpControl::kBytesMax;
  }
  const int n = recvmmsg(socket.fd.get(), headers, kMessages, MSG_DONTWAIT, nullptr);
  if (n <= 0) return false;
  for (int i = 0; i < n; ++i) {
    Message& message = messages_[static_cast<uint32_t>(i)];
    const msghdr& header = headers[i].msg_hdr;
    const UdpControl told = ReadControl(header);
    message.segment = told.segment != 0 ? told.segment : headers[i].msg_len;
    message.elsewhere = socket.ifindex != 0 && told.ifindex != socket.ifindex;
    message.from = PeerFrom(addresses[i], told.tos);
    message.socket = &socket;
    message.bytes = headers[i].msg_len;
    message.done = 0;
    message.truncated = (header.msg_flags & MSG_TRUNC) != 0;
  }
  message_count_ = static_cast<uint32_t>(n);
  message_next_ = 0;
  return true;
}

// The next datagram of the message into a frame of its own; false when no frame is free.
bool UdpPort::Slice(uint32_t index, pkt::Batch& out, pkt::LaneCounters& counters) {
  Message& message = messages_[index];
  const uint32_t outer = UdpOuterBytes(message.socket->local.family);
  const uint32_t bytes = std::min(message.segment, message.bytes - message.done);
  const bool whole = message.done == 0 && bytes == message.bytes;
  const bool refused = message.truncated || message.elsewhere;
  const bool fits = outer + bytes <= pool_->frame_bytes() - pkt::kHeadroomBytes;
  if (pkt::Packet* packet = !fits && whole && !refused ? TakeWhole(index) : nullptr;
      packet != nullptr) {
    packet->data -= outer;  // Into the headroom, which Take() has left free.
    packet->len = outer + bytes;
    WriteOuter(message.from, *message.socket, bytes, packet->data);
    out.Push(packet);
  } else if (refused || !fits) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(outer + bytes);
    counters.Drop(
        message.elsewhere ? pkt::DropReason::kWrongInterface : pkt::DropReason::kRxTruncated, 1);
  } else {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr) return false;
    WriteOuter(message.from, *message.socket, bytes, packet->data);
    std::memcpy(packet->data + outer, held_[index]->data + message.done, bytes);
    packet->len = outer + bytes;
    out.Push(packet);
  }
  message.done += bytes;
  if (message.done == message.bytes) ++message_next_;
  return true;
}

// The buffer of a message, with a fresh one in its place; nullptr when none is left.
pkt::Packet* UdpPort::TakeWhole(uint32_t index) {
  pkt::Packet* fresh = buffers_->Take();
  return fresh == nullptr ? nullptr : std::exchange(held_[index], fresh);
}

uint32_t UdpPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  const uint32_t before = out.count;
  uint32_t empty = 0;
  while (out.room() != 0) {
    if (message_next_ < message_count_) {
      if (!Slice(message_next_, out, counters))
        break;  // The rest stays here until frames come back.
      continue;
    }
    socket_next_ = (socket_next_ + 1) % static_cast<uint32_t>(sockets_.size());
    if (Read(sockets_[socket_next_])) {
      empty = 0;
    } else if (++empty == sockets_.size()) {
      break;
    }
  }
  return out.count - before;
}

void UdpPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  UdpSend sends[kFamilies];
  for (const pkt::Packet* packet : batch) {
    const uint32_t index = SocketFor(*packet);
    if (index == sockets_.size() || !sends[index].Add(packet, sockets_[index].sends_segments))
      counters.Drop(pkt::DropReason::kTxError, packet->segments);
  }
  for (uint32_t i = 0; i < sockets_.size(); ++i) sends[i].Run(sockets_[i], counters);
  pkt::GiveAll(batch);
}

Statistics UdpPort::statistics() const {
  Statistics statistics;
  for (const UdpSocket& socket : sockets_) statistics.rx_kernel_drops += socket.ReadDrops();
  return statistics;
}

}  // namespace port
