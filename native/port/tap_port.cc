#include "port/tap_port.h"

#include <unistd.h>

#include <cerrno>

#include "port/net_device.h"
#include "port/tun_device.h"
#include "port/vnet_header.h"

namespace port {

base::Result<std::unique_ptr<TapPort>> TapPort::Open(const TapOptions& options) {
  TunDeviceOptions device;
  device.name = options.name;
  device.mtu = options.mtu;
  device.tunnel_gso = options.tunnel_gso;
  device.super_packets = options.super_packets;
  device.udp_super_packets = options.udp_super_packets;
  device.queue_packets = options.queue_packets;
  device.share = options.share;
  auto made = MakeTunDevice(device);
  if (!made.ok()) return made.error();
  auto pool = pkt::FramePool::Create(options.frames, kSuperFrameBytes);
  if (!pool.ok()) return pool.error();
  return std::unique_ptr<TapPort>(
      new TapPort(std::move(made).value(), options, std::move(pool).value()));
}

TapPort::TapPort(TunDevice device, const TapOptions& options, std::unique_ptr<pkt::FramePool> pool)
    : pool_(std::move(pool)),
      fd_(std::move(device.fd)),
      // The device counts for all its queues together; the first port tells it.
      tx_dropped_(options.share.index == 0 ? NetDevice(options.name).OpenStatistic("tx_dropped")
                                           : base::UniqueFd()),
      description_(options.name + ": TAP, " + device.words),
      capabilities_(device.capabilities),
      ifindex_(device.ifindex),
      header_bytes_(device.header_bytes) {}

uint32_t TapPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  uint32_t received = 0;
  uint32_t bytes = 0;
  while (out.room() != 0 && bytes < kRoundBytesMax) {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr)
      break;  // The frames are in other ports' rings; the kernel keeps the rest queued.
    uint8_t* start = packet->data - header_bytes_;
    const ssize_t n = read(fd_.get(), start, packet->capacity - packet->headroom() + header_bytes_);
    if (n < 0) {
      pool_->Give(packet);
      break;
    }
    if (static_cast<uint32_t>(n) < header_bytes_) {
      pool_->Give(packet);
      continue;
    }
    packet->len = static_cast<uint32_t>(n) - header_bytes_;
    if (!ReadVnetHeader(start, header_bytes_, packet)) {
      counters.rx_packets.Add(1);
      counters.rx_frames.Add(1);
      counters.rx_bytes.Add(packet->len);
      counters.Drop(pkt::DropReason::kRxTruncated, 1);
      pool_->Give(packet);
      continue;
    }
    bytes += packet->len;
    out.Push(packet);
    ++received;
  }
  return received;
}

void TapPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t frames = 0;
  for (pkt::Packet* packet : batch) {
    uint8_t* start = packet->data - header_bytes_;
    WriteVnetHeader(*packet, start, header_bytes_);
    const ssize_t n = write(fd_.get(), start, packet->len + header_bytes_);
    if (n >= 0) {
      packets += packet->segments;
      bytes += packet->len;
      ++frames;
    } else {
      const bool full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
      counters.Drop(full ? pkt::DropReason::kTxFull : pkt::DropReason::kTxError, packet->segments);
    }
    pkt::Give(packet);
  }
  batch.Clear();
  counters.tx_packets.Add(packets);
  counters.tx_bytes.Add(bytes);
  counters.tx_frames.Add(frames);
}

Statistics TapPort::statistics() const {
  return Statistics{.rx_kernel_drops = ReadStatistic(tx_dropped_), .tx_pending = 0};
}

}  // namespace port
