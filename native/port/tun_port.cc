#include "port/tun_port.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "net/ethernet.h"
#include "port/net_device.h"
#include "port/vnet_header.h"

namespace port {

namespace {

constexpr uint32_t kEthernet = net::kEthernetBytes;

// What the version nibble says; anything else gets a type that the path refuses.
uint16_t EtherTypeOf(uint8_t first) {
  if (first >> 4 == 4) return net::kEtherTypeIpv4;
  return first >> 4 == 6 ? net::kEtherTypeIpv6 : 0;
}

}  // namespace

base::Result<std::unique_ptr<TunPort>> TunPort::Open(const TunOptions& options) {
  TunDeviceOptions device;
  device.name = options.name;
  device.ethernet = false;
  device.ipv6 = options.ipv6;
  device.mtu = options.mtu;
  device.super_packets = options.super_packets;
  device.udp_super_packets = options.udp_super_packets;
  device.queue_packets = options.queue_packets;
  device.share = options.share;
  device.handover = options.handover;
  auto made = MakeTunDevice(device);
  if (!made.ok()) return made.error();
  auto pool = pkt::FramePool::Create(options.frames, kSuperFrameBytes);
  if (!pool.ok()) return pool.error();
  return std::unique_ptr<TunPort>(
      new TunPort(std::move(made).value(), options, std::move(pool).value()));
}

TunPort::TunPort(TunDevice device, const TunOptions& options, std::unique_ptr<pkt::FramePool> pool)
    : pool_(std::move(pool)),
      fd_(std::move(device.fd)),
      // The device counts for all its queues together; the first port tells it.
      tx_dropped_(options.share.index == 0 ? NetDevice(options.name).OpenStatistic("tx_dropped")
                                           : base::UniqueFd()),
      description_(options.name + ": TUN, " + device.words),
      capabilities_(device.capabilities),
      ifindex_(device.ifindex),
      header_bytes_(device.header_bytes),
      joined_(device.joined) {}

// `bytes` were read to where the packet's Ethernet payload belongs, offload header in front.
bool TunPort::Accept(pkt::Packet* packet, uint32_t bytes, pkt::LaneCounters& counters) {
  uint8_t* ip = packet->data + kEthernet;
  packet->data = ip;
  packet->len = bytes < header_bytes_ ? 0 : bytes - header_bytes_;
  if (packet->len == 0 || !ReadVnetHeader(ip - header_bytes_, header_bytes_, packet)) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(packet->len);
    counters.Drop(pkt::DropReason::kRxTruncated, 1);
    pool_->Give(packet);
    return false;
  }
  packet->data -= kEthernet;
  packet->len += kEthernet;
  if (packet->checksum == pkt::Checksum::kPartial)
    packet->csum_start = static_cast<uint16_t>(packet->csum_start + kEthernet);
  std::memset(packet->data, 0, kEthernet);
  base::StoreBe16(packet->data + net::kEtherType, EtherTypeOf(ip[0]));
  return true;
}

uint32_t TunPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  uint32_t received = 0;
  uint32_t bytes = 0;
  while (out.room() != 0 && bytes < kRoundBytesMax) {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr) break;  // In other ports' rings; the kernel keeps the rest queued.
    uint8_t* ip = packet->data + kEthernet;
    const ssize_t n = read(fd_.get(), ip - header_bytes_,
                           packet->capacity - packet->headroom() - kEthernet + header_bytes_);
    if (n < 0) {
      pool_->Give(packet);
      break;
    }
    if (!Accept(packet, static_cast<uint32_t>(n), counters)) continue;
    bytes += packet->len;
    out.Push(packet);
    ++received;
  }
  return received;
}

void TunPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  for (pkt::Packet* packet : batch) {
    if (packet->len <= kEthernet) {
      counters.Drop(pkt::DropReason::kTxError, packet->segments);
      pkt::Give(packet);
      continue;
    }
    pkt::Packet bare = *packet;
    bare.data += kEthernet;
    bare.len -= kEthernet;
    if (bare.checksum == pkt::Checksum::kPartial)
      bare.csum_start = static_cast<uint16_t>(bare.csum_start - kEthernet);
    uint8_t* start = bare.data - header_bytes_;
    WriteVnetHeader(bare, start, header_bytes_);
    if (write(fd_.get(), start, bare.len + header_bytes_) >= 0) {
      counters.tx_packets.Add(packet->segments);
      counters.tx_bytes.Add(packet->len);
      counters.tx_frames.Add(1);
    } else {
      const bool full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
      counters.Drop(full ? pkt::DropReason::kTxFull : pkt::DropReason::kTxError, packet->segments);
    }
    pkt::Give(packet);
  }
  batch.Clear();
}

Statistics TunPort::statistics() const {
  return {.rx_kernel_drops = ReadStatistic(tx_dropped_), .tx_pending = 0};
}

}  // namespace port
