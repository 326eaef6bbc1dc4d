#include "port/packet_port.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "net/ethernet.h"
#include "port/net_device.h"
#include "port/vnet_header.h"

namespace port {

namespace {

constexpr int kIgnoreOutgoing = 23;                 // PACKET_IGNORE_OUTGOING, 4.20.
constexpr uint32_t kFanoutIgnoreOutgoing = 0x4000;  // PACKET_FANOUT_FLAG_IGNORE_OUTGOING, 5.14.
constexpr int kSocketBufferBytes = 16 * 1024 * 1024;
constexpr uint32_t kReceiveBytesMax =
    512 * 1024;  // What a round may bring, so that it stays in the L2 cache.
constexpr uint32_t kBurstMin = 8;
constexpr uint32_t kFrameBytes = 34 * 2048;  // 64 KiB, headers, headroom.
static_assert(kFrameBytes >= pkt::kSuperPacketMax + pkt::kHeadroomBytes);

base::Error OptionError(const std::string& device, const char* op, const char* remedy) {
  return base::SystemError("PACKET_SOCKET_FAILED", op, device + ": " + remedy);
}

bool Set(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

}  // namespace

base::Result<std::unique_ptr<PacketPort>> PacketPort::Open(const PacketOptions& options) {
  // Protocol 0: nothing arrives before bind, thus nothing before the filter is in place.
  base::UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return OptionError(options.device, "socket(AF_PACKET)", "CAP_NET_RAW is needed");
  auto pool = pkt::FramePool::Create(options.frames, kFrameBytes);
  if (!pool.ok()) return pool.error();
  std::unique_ptr<PacketPort> port(new PacketPort(std::move(fd), std::move(pool).value()));
  if (auto status = port->Configure(options); !status.ok()) return status.error();
  return port;
}

PacketPort::PacketPort(base::UniqueFd fd, std::unique_ptr<pkt::FramePool> pool)
    : pool_(std::move(pool)), fd_(std::move(fd)) {}

PacketPort::~PacketPort() {
  for (uint32_t i = 0; i < armed_count_; ++i) pool_->Give(armed_[i]);
}

base::Status PacketPort::Configure(const PacketOptions& options) {
  const int fd = fd_.get();
  const unsigned ifindex = if_nametoindex(options.device.c_str());
  if (ifindex == 0)
    return OptionError(options.device, "if_nametoindex",
                       "no such device in this network namespace");
  NetDevice device(options.device);
  auto mtu = device.ReadMtu();
  if (!mtu.ok()) return mtu.error();
  if (!Set(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) {
    return OptionError(options.device, "setsockopt(PACKET_VNET_HDR)",
                       "the kernel must support offload headers");
  }
  if (!Set(fd, SOL_PACKET, kIgnoreOutgoing, 1)) {
    return OptionError(options.device, "setsockopt(PACKET_IGNORE_OUTGOING)",
                       "Linux 4.20 or newer is needed");
  }
  (void)Set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);  // Optional: only saves time.
  (void)Set(fd, SOL_SOCKET, SO_RCVBUFFORCE, kSocketBufferBytes);
  (void)Set(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSocketBufferBytes);
  if (options.filter_program >= 0) {
    if (!Set(fd, SOL_SOCKET, SO_ATTACH_BPF, options.filter_program)) {
      return OptionError(options.device, "setsockopt(SO_ATTACH_BPF)",
                         "the kernel refused the socket filter");
    }
  } else {
    std::vector<sock_filter> code =
        options.match ? BuildPacketFilter(*options.match) : BuildUntaggedFilter();
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
      return OptionError(options.device, "setsockopt(SO_ATTACH_FILTER)",
                         "the kernel refused the socket filter");
    }
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  // All protocols: handlers of a single one stand behind tc ingress, where the original is dropped.
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(ifindex);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return OptionError(options.device, "bind(AF_PACKET)", "the device must exist and be up");
  }
  packet_mreq all{};
  all.mr_ifindex = static_cast<int>(ifindex);
  all.mr_type = PACKET_MR_PROMISC;
  if (options.promiscuous &&
      setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0) {
    return OptionError(options.device, "setsockopt(PACKET_ADD_MEMBERSHIP)",
                       "the device must allow promiscuous mode");
  }
  if (options.share.count > 1) {
    if (auto status = JoinFanout(options); !status.ok()) return status;
  }
  capabilities_.super_packets = true;
  capabilities_.partial_checksum = true;
  capabilities_.tunnel_partial_checksum = true;
  capabilities_.frame_bytes_max = *mtu + net::kEthernetBytes;
  description_ = options.device + ": AF_PACKET, receives super-packets, sends plain ones";
  return base::Ok();
}

// By flow, so that packets of one stay in order; the outer source port tells flows apart.
base::Status PacketPort::JoinFanout(const PacketOptions& options) {
  const bool first = options.share.index == 0;
  const uint32_t flags = kFanoutIgnoreOutgoing | (first ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
  const uint32_t wanted = (PACKET_FANOUT_HASH | flags) << 16 | options.fanout_group;
  if (!Set(fd_.get(), SOL_PACKET, PACKET_FANOUT, static_cast<int>(wanted)))
    return OptionError(options.device, "setsockopt(PACKET_FANOUT)",
                       "several workers on a packet socket need Linux 5.14; use one worker");
  uint32_t group = 0;
  socklen_t bytes = sizeof group;
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_FANOUT, &group, &bytes) != 0)
    return OptionError(options.device, "getsockopt(PACKET_FANOUT)", "use one worker");
  fanout_group_ = static_cast<uint16_t>(group & 0xffff);
  return base::Ok();
}

// Makes sure that up to `wanted` empty frames are ready; returns how many are.
uint32_t PacketPort::Arm(uint32_t wanted) {
  while (armed_count_ < wanted) {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr) break;
    armed_[armed_count_++] = packet;
  }
  return std::min(armed_count_, wanted);
}

bool PacketPort::Accept(pkt::Packet* packet, uint32_t bytes, bool truncated,
                        pkt::LaneCounters& counters) {
  packet->len = bytes < kVnetBytes ? 0 : bytes - kVnetBytes;
  if (!truncated && bytes >= kVnetBytes &&
      ReadVnetHeader(packet->data - kVnetBytes, kVnetBytes, packet))
    return true;
  counters.rx_packets.Add(1);
  counters.rx_frames.Add(1);
  counters.rx_bytes.Add(packet->len);
  counters.Drop(pkt::DropReason::kRxTruncated, 1);
  pool_->Give(packet);
  return false;
}

uint32_t PacketPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  const uint32_t wanted = Arm(std::min(burst_, out.room()));
  if (wanted == 0) return 0;
  mmsghdr messages[pkt::kBatchMax] = {};
  iovec vectors[pkt::kBatchMax];
  for (uint32_t i = 0; i < wanted; ++i) {
    pkt::Packet* packet = armed_[i];
    vectors[i] = {packet->data - kVnetBytes, packet->capacity - packet->headroom() + kVnetBytes};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int n = recvmmsg(fd_.get(), messages, wanted, MSG_DONTWAIT, nullptr);
  if (n < 0 && errno == EINVAL) {
    // An skb of a segmentation type that has no virtio name: that one is lost, the next call goes
    // on.
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.Drop(pkt::DropReason::kRxTruncated, 1);
  }
  if (n <= 0) return 0;
  uint32_t received = 0;
  uint64_t bytes = 0;
  for (int i = 0; i < n; ++i) {
    bytes += messages[i].msg_len;
    const bool truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    if (!Accept(armed_[static_cast<uint32_t>(i)], messages[i].msg_len, truncated, counters))
      continue;
    out.Push(armed_[static_cast<uint32_t>(i)]);
    ++received;
  }
  armed_count_ -= static_cast<uint32_t>(n);
  std::copy_n(armed_.begin() + n, armed_count_, armed_.begin());
  const uint64_t average = bytes / static_cast<uint64_t>(n) + 1;
  burst_ = static_cast<uint32_t>(
      std::clamp<uint64_t>(kReceiveBytesMax / average, kBurstMin, pkt::kBatchMax));
  return received;
}

void PacketPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  mmsghdr messages[pkt::kBatchMax] = {};
  iovec vectors[pkt::kBatchMax];
  for (uint32_t i = 0; i < batch.count; ++i) {
    pkt::Packet* packet = batch.items[i];
    WriteVnetHeader(*packet, packet->data - kVnetBytes, kVnetBytes);
    vectors[i] = {packet->data - kVnetBytes, packet->len + kVnetBytes};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint32_t done = 0;
  while (done < batch.count) {
    const int n = sendmmsg(fd_.get(), messages + done, batch.count - done, MSG_DONTWAIT);
    for (int i = 0; i < n; ++i, ++done) {
      counters.tx_packets.Add(batch.items[done]->segments);
      counters.tx_bytes.Add(batch.items[done]->len);
      counters.tx_frames.Add(1);
    }
    if (n > 0) continue;
    // The first message was refused; the others may pass.
    pkt::DropReason reason = pkt::DropReason::kTxError;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) reason = pkt::DropReason::kTxFull;
    if (errno == EMSGSIZE) reason = pkt::DropReason::kTooBig;
    counters.Drop(reason, batch.items[done]->segments);
    ++done;
  }
  pkt::GiveAll(batch);
}

Statistics PacketPort::statistics() const {
  tpacket_stats seen{};
  socklen_t bytes = sizeof seen;
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &seen, &bytes) == 0)
    kernel_drops_ += seen.tp_drops;
  return {.rx_kernel_drops = kernel_drops_, .tx_pending = 0};
}

}  // namespace port
