#include "port/xdp_port.h"

#include <sys/epoll.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/endian.h"
#include "bpf/steer_state.h"

namespace port {

namespace {

constexpr uint32_t kRingMax = 2048;
constexpr uint32_t kRingMin = 64;
constexpr uint32_t kEthernetBytes = 14;
constexpr uint32_t kKicksMax = 4;  // A kick stops early when the device is momentarily full.

// Of all workers together, 18 MiB: full rings of one queue, both ways, and some on their way. More
// queues share it, with shorter rings, down to 512 packets each; from there on it grows with them.
constexpr uint32_t kFramesShared = 2 * kRingMax + 512;
constexpr uint32_t kFramesPerQueue = kFramesShared / 4;
constexpr uint32_t kFramesMax = 8192;
constexpr uint32_t kFramesMin = 1024;  // Of one worker.

static_assert(kXdpFrameMax == RS_XDP_FRAME_MAX);

uint32_t QueuesOf(uint32_t all, const Share& share) {
  return (all + share.count - 1) / share.count;
}

const char* Words(XdpMode mode) {
  switch (mode) {
    case XdpMode::kZeroCopy:
      return "native zero-copy";
    case XdpMode::kNativeCopy:
      return "native copy";
    case XdpMode::kGeneric:
      return "generic";
    case XdpMode::kAuto:
      break;
  }
  return "auto";
}

// Errors that no other mode would cure.
bool Final(const base::Error& error) {
  return error.code == "XDP_PROGRAM_FOREIGN" || error.os_error == EPERM ||
         error.os_error == EBUSY || error.os_error == ENETDOWN;
}

}  // namespace

uint32_t XdpFramesFor(uint32_t queues, uint32_t workers) {
  const uint32_t all = std::clamp(queues * workers * kFramesPerQueue, kFramesShared, kFramesMax);
  return std::max(kFramesMin, all / workers);
}

base::Result<std::unique_ptr<XdpPort>> XdpPort::Open(const XdpOptions& options) {
  auto device = xdp::QueryDevice(options.device);
  if (!device.ok()) return device.error();
  if (device->rx_queues > RS_QUEUES_MAX) {
    return base::Error{"XDP_QUEUES", 0, "XdpPort::Open",
                       options.device + " has " + std::to_string(device->rx_queues) +
                           " queues, at most " + std::to_string(RS_QUEUES_MAX) +
                           " are supported; lower them with ethtool -L"};
  }
  if (device->rx_queues < options.share.count) {
    return base::Error{"XDP_QUEUES", 0, "XdpPort::Open",
                       options.device + " has " + std::to_string(device->rx_queues) +
                           " queue(s), and each of " + std::to_string(options.share.count) +
                           " workers needs one; lower the workers, or raise the queues with "
                           "ethtool -L"};
  }
  std::shared_ptr<xdp::Umem> umem = options.umem;
  if (umem == nullptr) {
    auto made = xdp::Umem::Create(
        options.frames != 0
            ? options.frames
            : XdpFramesFor(QueuesOf(device->rx_queues, options.share), options.share.count));
    if (!made.ok()) return made.error();
    umem = std::move(made).value();
  }
  const uint32_t queues = std::max(options.umem_queues, QueuesOf(device->rx_queues, options.share));
  std::unique_ptr<XdpPort> port(
      new XdpPort(std::move(device).value(), options.share, std::move(umem), queues));

  std::string refused;
  base::Error last;
  for (const XdpMode mode : {XdpMode::kZeroCopy, XdpMode::kNativeCopy, XdpMode::kGeneric}) {
    if (options.mode != XdpMode::kAuto && options.mode != mode) continue;
    auto status = port->OpenMode(options, mode);
    if (status.ok()) {
      port->description_ = options.device + ": AF_XDP " + Words(mode) + ", " +
                           std::to_string(port->queues_.size()) + " queue(s)" +
                           port->BusyPollWords() + refused;
      return port;
    }
    port->Close();
    last = status.error();
    if (Final(last)) return last;
    refused += std::string("; not ") + Words(mode) + ": " + last.detail + " (" +
               std::strerror(last.os_error) + ")";
  }
  return last;
}

XdpPort::XdpPort(xdp::Device device, const Share& share, std::shared_ptr<xdp::Umem> umem,
                 uint32_t umem_queues)
    : umem_(std::move(umem)), device_(std::move(device)), share_(share) {
  // At most half of the frames wait for packets; the other half is for sending and for packets on
  // their way.
  const uint32_t each = std::max(1U, umem_->pool().frames() / (2 * umem_queues));
  ring_size_ = std::clamp(std::bit_floor(each), kRingMin, kRingMax);
  capabilities_.frame_bytes_max =
      std::min(device_.mtu + kEthernetBytes, xdp::kFrameBytes - pkt::kHeadroomBytes);
}

base::Status XdpPort::OpenMode(const XdpOptions& options, XdpMode mode) {
  if (share_.index == 0) {
    const auto attach =
        mode == XdpMode::kGeneric ? xdp::AttachMode::kGeneric : xdp::AttachMode::kNative;
    auto link = xdp::AttachProgram(options.program_fd, device_.name, device_.ifindex, attach);
    if (!link.ok()) return link.error();
    link_ = std::move(link).value();
  }
  if (auto status = OpenQueues(options, mode); !status.ok()) return status;
  if (auto status = WatchQueues(); !status.ok()) return status;
  for (const Queue& queue : queues_) {
    auto status =
        xdp::RegisterSocket(options.xskmap_fd, queue.socket->queue_id(), queue.socket->fd());
    if (!status.ok()) return status;
  }
  mode_ = mode;
  busy_poll_ = options.busy_poll;
  return base::Ok();
}

base::Status XdpPort::OpenQueues(const XdpOptions& options, XdpMode mode) {
  xdp::SocketOptions socket_options;
  socket_options.device = device_.name;
  socket_options.ifindex = device_.ifindex;
  socket_options.ring_size = ring_size_;
  socket_options.zero_copy = mode == XdpMode::kZeroCopy;
  socket_options.busy_poll = options.busy_poll;
  for (uint32_t id = share_.index; id < device_.rx_queues; id += share_.count) {
    socket_options.queue_id = id;
    auto socket = xdp::XskSocket::Open(socket_options, umem_);
    if (!socket.ok()) return socket.error();
    queues_.push_back(Queue{std::move(socket).value()});
    if (queues_.size() == 1) socket_options.share_fd = queues_[0].socket->fd();
    Refill(queues_.back());
  }
  return base::Ok();
}

base::Status XdpPort::WatchQueues() {
  if (queues_.size() == 1) return base::Ok();
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  for (const Queue& queue : queues_) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (!epoll_.valid() ||
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, queue.socket->fd(), &event) != 0) {
      return base::SystemError("XDP_SOCKET_FAILED", "epoll",
                               "raise the limit of open files (ulimit -n)");
    }
  }
  return base::Ok();
}

std::string XdpPort::BusyPollWords() const {
  if (!busy_poll_) return "";
  for (const Queue& queue : queues_) {
    if (const int refusal = queue.socket->busy_poll_refusal(); refusal != 0)
      return std::string("; no preferred busy poll: ") + std::strerror(refusal);
  }
  return ", preferred busy poll";
}

void XdpPort::Close() {
  link_.Reset();
  epoll_.Reset();
  queues_.clear();
}

int XdpPort::wait_fd() const { return epoll_.valid() ? epoll_.get() : queues_[0].socket->fd(); }

void XdpPort::Refill(Queue& queue) {
  xdp::FillRing& fill = queue.socket->fill();
  uint32_t wanted = ring_size_ - queue.posted;
  if (wanted == 0) return;
  wanted = std::min(wanted, fill.Free(wanted));
  umem_->set_socket(queue.socket->id());
  uint32_t pushed = 0;
  for (; pushed < wanted; ++pushed) {
    pkt::Packet* packet = umem_->pool().Take();
    if (packet == nullptr) break;
    fill.Push(umem_->GiveToFill(packet));
  }
  queue.posted += pushed;
  if (pushed != 0) fill.Submit();
}

uint32_t XdpPort::ReceiveFrom(Queue& queue, pkt::Batch& out, pkt::LaneCounters& counters) {
  xdp::RxRing& rx = queue.socket->rx();
  const uint32_t ready = rx.Ready(out.room());
  if (ready == 0) return 0;
  uint32_t received = 0;
  for (uint32_t i = 0; i < ready; ++i) {
    const xdp_desc& descriptor = rx.Pop();
    pkt::Packet* packet = umem_->TakeReceived(descriptor.addr, descriptor.len);
    if (packet == nullptr) {
      counters.rx_packets.Add(1);
      counters.rx_frames.Add(1);
      counters.Drop(pkt::DropReason::kRxTruncated, 1);
      continue;
    }
    --queue.posted;
    out.Push(packet);
    ++received;
  }
  rx.Release();
  return received;
}

uint32_t XdpPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  uint32_t received = 0;
  const auto queues = static_cast<uint32_t>(queues_.size());
  for (uint32_t i = 0; i < queues && out.room() != 0; ++i) {
    Queue& queue = queues_[(next_queue_ + i) % queues];
    if (queue.posted < ring_size_ / 2) Refill(queue);
    received += ReceiveFrom(queue, out, counters);
  }
  if (++next_queue_ >= queues) next_queue_ = 0;
  if (received == 0 && busy_poll_) {
    for (Queue& queue : queues_) queue.socket->WakeRx();
  }
  return received;
}

// One flow, one queue: packets of a flow must not overtake each other. Encap put the flow's hash
// into the source port.
uint32_t XdpPort::QueueFor(const pkt::Packet& packet) const {
  if (queues_.size() == 1 || packet.inner_offset == 0) return 0;
  return base::LoadBe16(packet.data + packet.outer_l4_offset) %
         static_cast<uint32_t>(queues_.size());
}

void XdpPort::Reap(Queue& queue) {
  xdp::CompletionRing& completion = queue.socket->completion();
  const uint32_t ready = completion.Ready(ring_size_);
  if (ready == 0) return;
  int64_t sent = 0;
  for (uint32_t i = 0; i < ready; ++i) {
    pkt::Packet* packet = umem_->TakeSent(completion.Pop());
    if (packet == nullptr) continue;
    umem_->pool().Give(packet);
    ++sent;
  }
  completion.Release();
  CountPending(-sent);
}

void XdpPort::CountPending(int64_t delta) {
  const uint64_t now = tx_pending_.load(std::memory_order_relaxed);
  tx_pending_.store(now + static_cast<uint64_t>(delta), std::memory_order_relaxed);
}

void XdpPort::Submit(Queue& queue) {
  if (queue.pushed == 0) return;
  CountPending(queue.pushed);
  queue.pushed = 0;
  queue.socket->tx().Submit();
}

// A free slot in the tx ring, if need be by letting the kernel send now.
bool XdpPort::MakeRoom(Queue& queue) {
  xdp::TxRing& tx = queue.socket->tx();
  if (tx.Free(1) != 0) return true;
  Submit(queue);
  queue.socket->KickTx();
  Reap(queue);
  return tx.Free(1) != 0;
}

// A packet of another pool, moved into a frame of ours; nullptr (and the packet still the caller's)
// when none is left.
pkt::Packet* XdpPort::IntoUmem(pkt::Packet* packet) {
  pkt::Packet* copy = umem_->pool().Take();
  if (copy == nullptr) {
    for (Queue& queue : queues_) Reap(queue);
    copy = umem_->pool().Take();
    if (copy == nullptr) return nullptr;
  }
  copy->len = packet->len;
  copy->segments = packet->segments;
  std::memcpy(copy->data, packet->data, packet->len);
  pkt::Give(packet);
  return copy;
}

void XdpPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  uint64_t packets = 0;
  uint64_t frames = 0;
  uint64_t bytes = 0;
  for (pkt::Packet* packet : batch) {
    Queue& queue = queues_[QueueFor(*packet)];
    pkt::DropReason reason = pkt::DropReason::kCount;
    if (packet->super_packet() || packet->checksum == pkt::Checksum::kPartial ||
        packet->len < kEthernetBytes || packet->len > capabilities_.frame_bytes_max) {
      reason = pkt::DropReason::kTxError;
    } else if (!MakeRoom(queue)) {
      reason = pkt::DropReason::kTxFull;
    } else if (!umem_->Owns(packet)) {
      pkt::Packet* copy = IntoUmem(packet);
      if (copy == nullptr)
        reason = pkt::DropReason::kNoFrame;
      else
        packet = copy;
    }
    if (reason != pkt::DropReason::kCount) {
      counters.Drop(reason, packet->segments);
      pkt::Give(packet);
      continue;
    }
    umem_->set_socket(queue.socket->id());
    const uint32_t len = packet->len;
    packets += packet->segments;
    queue.socket->tx().Push(xdp_desc{umem_->GiveToTx(packet), len, 0});
    ++queue.pushed;
    bytes += len;
    ++frames;
  }
  batch.Clear();
  for (Queue& queue : queues_) Submit(queue);
  counters.tx_packets.Add(packets);
  counters.tx_bytes.Add(bytes);
  counters.tx_frames.Add(frames);
}

void XdpPort::Flush() {
  for (Queue& queue : queues_) {
    xdp::XskSocket& socket = *queue.socket;
    for (uint32_t kick = 0; kick < kKicksMax && socket.tx().Unread() != 0; ++kick) {
      if (!socket.tx().needs_wakeup()) break;
      socket.KickTx();
    }
    Reap(queue);
    Refill(queue);
    if (socket.fill().needs_wakeup()) socket.WakeRx();
  }
}

Statistics XdpPort::statistics() const {
  Statistics statistics;
  for (const Queue& queue : queues_) statistics.rx_kernel_drops += queue.socket->rx_drops();
  statistics.tx_pending = tx_pending_.load(std::memory_order_relaxed);
  return statistics;
}

std::vector<QueueState> XdpPort::queues() const {
  std::vector<QueueState> states;
  for (const Queue& queue : queues_) {
    const xdp::XskSocket& socket = *queue.socket;
    states.push_back({.device = device_.name,
                      .id = socket.queue_id(),
                      .mode = Words(mode_),
                      .ring_size = ring_size_,
                      .rx_waiting = socket.rx().filled(),
                      .rx_free = socket.fill().filled(),
                      .tx_waiting = socket.tx().filled()});
  }
  return states;
}

}  // namespace port
