#include "port/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "port/net_device.h"
#include "port/vnet_header.h"

namespace port {

namespace {

// Linux 6.2; absent from Debian 12's headers, like the two below.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;
constexpr unsigned kTunTunnelGso = 0x80;  // Linux 6.17.
constexpr unsigned kTunTunnelGsoChecksum = 0x100;
constexpr unsigned kChecksum = TUN_F_CSUM;
constexpr unsigned kTcp = TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

// A round of super-packets that stays in the L2 cache between read and write.
constexpr uint32_t kReceiveBytesMax = 512 * 1024;
constexpr uint32_t kFrameBytes = 34 * 2048;  // 64 KiB, headers, headroom.
static_assert(kFrameBytes >= pkt::kSuperPacketMax + pkt::kHeadroomBytes);

struct Offload {
  unsigned flags;
  bool tunnel;
  const char* words;
};

}  // namespace

base::Result<std::unique_ptr<TapPort>> TapPort::Open(const TapOptions& options) {
  base::UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    return base::SystemError(
        "TAP_OPEN_FAILED", "open(/dev/net/tun)",
        "the TAP driver is needed: load module tun, or mount /dev/net/tun into the container");
  }
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", options.name.c_str());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    const char* remedy = errno == EBUSY || errno == EEXIST
                             ? "a device of that name exists: another data plane runs here, or "
                               "`ripstop cleanup` is due"
                             : "CAP_NET_ADMIN is needed in this network namespace";
    return base::SystemError("TAP_CREATE_FAILED", "ioctl(TUNSETIFF " + options.name + ")", remedy);
  }
  auto pool = pkt::FramePool::Create(options.frames, kFrameBytes);
  if (!pool.ok()) return pool.error();
  std::unique_ptr<TapPort> port(new TapPort(std::move(fd), options, std::move(pool).value()));
  if (auto status = port->Configure(options); !status.ok()) return status.error();
  return port;
}

TapPort::TapPort(base::UniqueFd fd, const TapOptions& options, std::unique_ptr<pkt::FramePool> pool)
    : pool_(std::move(pool)), fd_(std::move(fd)), name_(options.name) {}

base::Status TapPort::Configure(const TapOptions& options) {
  // Best first; each refusal by the kernel takes one step down.
  const unsigned uso = kTunUso4 | kTunUso6;
  const Offload ladder[] = {
      {kChecksum | kTcp | uso | kTunTunnelGso | kTunTunnelGsoChecksum, true,
       "TCP and UDP super-packets, tunnel GSO"},
      {kChecksum | kTcp | uso, false, "TCP and UDP super-packets"},
      {kChecksum | kTcp, false, "TCP super-packets"},
      {0, false, "single packets"},
  };
  const Offload* chosen = nullptr;
  for (const Offload& step : ladder) {
    if (step.tunnel && !options.tunnel_gso) continue;
    if (step.flags != 0 && !options.super_packets) continue;
    int header = static_cast<int>(step.tunnel ? kVnetTunnelBytes : kVnetBytes);
    if (ioctl(fd_.get(), TUNSETVNETHDRSZ, &header) != 0) continue;
    if (ioctl(fd_.get(), TUNSETOFFLOAD, step.flags) != 0) continue;
    chosen = &step;
    header_bytes_ = static_cast<uint32_t>(header);
    break;
  }
  if (chosen == nullptr) {
    return base::SystemError(
        "TAP_OFFLOAD_FAILED", "ioctl(TUNSETOFFLOAD " + name_ + ")",
        "the kernel refused even a plain TAP; its tun driver is too old or broken");
  }
  NetDevice device(name_);
  if (auto status = device.DisableIpv6(); !status.ok()) return status;
  if (auto status = device.SetMtu(options.mtu); !status.ok()) return status;
  if (auto status = device.SetTxQueueLength(options.queue_packets); !status.ok()) return status;
  if (auto status = device.SetUp(); !status.ok()) return status;
  ifindex_ = if_nametoindex(name_.c_str());

  capabilities_.super_packets = true;
  capabilities_.partial_checksum = true;
  capabilities_.tunnel_super_packets = chosen->tunnel;
  capabilities_.tunnel_partial_checksum = true;
  capabilities_.frame_bytes_max = options.mtu + 14;
  description_ = name_ + ": TAP, " + chosen->words;
  return base::Ok();
}

uint32_t TapPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  uint32_t received = 0;
  uint32_t bytes = 0;
  while (out.room() != 0 && bytes < kReceiveBytesMax) {
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
  return Statistics{.rx_kernel_drops = NetDevice(name_).ReadStatistic("tx_dropped"),
                    .tx_pending = 0};
}

}  // namespace port
