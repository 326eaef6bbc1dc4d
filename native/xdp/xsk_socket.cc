#include "xdp/xsk_socket.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace xdp {

namespace {

// Constants that Debian 12's headers (6.1) or glibc lack, with the kernel version that brought
// them.
constexpr int kMaxTxSkbBudget = 9;     // XDP_MAX_TX_SKB_BUDGET, 6.17.
constexpr int kSoBusyPoll = 46;        // SO_BUSY_POLL, 3.11.
constexpr int kSoPreferBusyPoll = 69;  // SO_PREFER_BUSY_POLL, 5.11.
constexpr int kSoBusyPollBudget = 70;  // SO_BUSY_POLL_BUDGET, 5.11.

// Copy-mode transmit charges every skb in flight to the socket; the default of 208 KiB throttles
// it.
constexpr int kSendBufferBytes = 16 * 1024 * 1024;
constexpr int kBindTries = 100;
constexpr int kBindPauseMicroseconds = 10'000;
constexpr int kBusyPollMicroseconds = 20;
constexpr int kBusyPollPackets = 64;

base::Error SocketError(const SocketOptions& options, const char* op, const char* remedy) {
  return base::SystemError(
      "XDP_SOCKET_FAILED", op,
      options.device + " queue " + std::to_string(options.queue_id) + ": " + remedy);
}

template <typename Entry, typename Offsets>
RingMemory<Entry> RingAt(uint8_t* start, const Offsets& offsets, uint32_t size) {
  return {reinterpret_cast<uint32_t*>(start + offsets.producer),
          reinterpret_cast<uint32_t*>(start + offsets.consumer),
          reinterpret_cast<uint32_t*>(start + offsets.flags),
          reinterpret_cast<Entry*>(start + offsets.desc), size};
}

}  // namespace

XskSocket::Mapping::~Mapping() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

bool XskSocket::Mapping::Map(int fd, uint64_t bytes, uint64_t page_offset) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                      static_cast<off_t>(page_offset));
  if (memory == MAP_FAILED) return false;
  memory_ = static_cast<uint8_t*>(memory);
  bytes_ = bytes;
  return true;
}

base::Result<std::unique_ptr<XskSocket>> XskSocket::Open(const SocketOptions& options,
                                                         std::shared_ptr<Umem> umem) {
  base::UniqueFd fd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return SocketError(
        options, "socket(AF_XDP)",
        errno == EPERM ? "CAP_NET_RAW is needed" : "the kernel lacks CONFIG_XDP_SOCKETS");
  }
  std::unique_ptr<XskSocket> made(new XskSocket(std::move(fd), options.queue_id, std::move(umem)));
  if (auto status = made->CreateRings(options); !status.ok()) return status.error();
  made->Tune(options);
  if (auto status = made->Bind(options); !status.ok()) return status.error();
  return made;
}

XskSocket::XskSocket(base::UniqueFd fd, uint32_t queue_id, std::shared_ptr<Umem> umem)
    : umem_(std::move(umem)), fd_(std::move(fd)), queue_id_(queue_id), id_(umem_->NewSocketId()) {}

XskSocket::~XskSocket() {
  fd_.Reset();  // Unbinds and waits until the device is done with the frames.
  umem_->ReclaimFrom(id_);
}

base::Status XskSocket::CreateRings(const SocketOptions& options) {
  if (options.share_fd < 0) {
    xdp_umem_reg umem{};
    umem.addr = reinterpret_cast<uint64_t>(umem_->pool().memory());
    umem.len = umem_->pool().memory_bytes();
    umem.chunk_size = kFrameBytes;
    umem.headroom = pkt::kHeadroomBytes;
    if (setsockopt(fd_.get(), SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem) != 0) {
      return SocketError(options, "setsockopt(XDP_UMEM_REG)",
                         "locking the frames needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK");
    }
  }
  const int size = static_cast<int>(options.ring_size);
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING}) {
    if (setsockopt(fd_.get(), SOL_XDP, ring, &size, sizeof size) != 0) {
      return SocketError(options, "setsockopt(ring size)",
                         "the ring size must be a power of two, and memory for it must be free");
    }
  }
  return MapRings(options.ring_size);
}

base::Status XskSocket::MapRings(uint32_t ring_size) {
  xdp_mmap_offsets offsets{};
  socklen_t bytes = sizeof offsets;
  if (getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0 ||
      bytes != sizeof offsets) {
    return base::SystemError("XDP_SOCKET_FAILED", "getsockopt(XDP_MMAP_OFFSETS)",
                             "Linux 5.4 or newer is needed");
  }
  const bool mapped = mappings_[0].Map(fd_.get(), offsets.fr.desc + ring_size * sizeof(uint64_t),
                                       XDP_UMEM_PGOFF_FILL_RING) &&
                      mappings_[1].Map(fd_.get(), offsets.cr.desc + ring_size * sizeof(uint64_t),
                                       XDP_UMEM_PGOFF_COMPLETION_RING) &&
                      mappings_[2].Map(fd_.get(), offsets.rx.desc + ring_size * sizeof(xdp_desc),
                                       XDP_PGOFF_RX_RING) &&
                      mappings_[3].Map(fd_.get(), offsets.tx.desc + ring_size * sizeof(xdp_desc),
                                       XDP_PGOFF_TX_RING);
  if (!mapped) return base::SystemError("XDP_SOCKET_FAILED", "mmap(XDP ring)", "not enough memory");
  fill_ = FillRing(RingAt<uint64_t>(mappings_[0].at(0), offsets.fr, ring_size));
  completion_ = CompletionRing(RingAt<uint64_t>(mappings_[1].at(0), offsets.cr, ring_size));
  rx_ = RxRing(RingAt<xdp_desc>(mappings_[2].at(0), offsets.rx, ring_size));
  tx_ = TxRing(RingAt<xdp_desc>(mappings_[3].at(0), offsets.tx, ring_size));
  return base::Ok();
}

// Each of these may be unknown to the kernel or refused; the socket works without, only slower.
void XskSocket::Tune(const SocketOptions& options) {
  const int budget = static_cast<int>(options.ring_size);
  (void)setsockopt(fd_.get(), SOL_XDP, kMaxTxSkbBudget, &budget, sizeof budget);
  (void)setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes,
                   sizeof kSendBufferBytes);
  if (!options.busy_poll) return;
  const std::pair<int, int> busy_poll[] = {{kSoPreferBusyPoll, 1},
                                           {kSoBusyPoll, kBusyPollMicroseconds},
                                           {kSoBusyPollBudget, kBusyPollPackets}};
  for (const auto& [name, value] : busy_poll) {
    if (setsockopt(fd_.get(), SOL_SOCKET, name, &value, sizeof value) == 0) continue;
    busy_poll_refusal_ = errno;
    return;
  }
}

base::Status XskSocket::Bind(const SocketOptions& options) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = options.ifindex;
  address.sxdp_queue_id = options.queue_id;
  if (options.share_fd >= 0) {
    // Mode and need-wakeup come from the socket that registered the umem; naming them again is an
    // error.
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(options.share_fd);
  } else {
    const int mode = options.zero_copy ? XDP_ZEROCOPY : XDP_COPY;
    address.sxdp_flags = static_cast<uint16_t>(mode | XDP_USE_NEED_WAKEUP);
  }
  // The kernel frees the queue of a closed socket a little later: whoever reopens must wait for it.
  for (int tries = 0; tries < kBindTries; ++tries) {
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
      return base::Ok();
    if (errno != EBUSY) break;
    usleep(kBindPauseMicroseconds);
    errno = EBUSY;
  }
  const char* remedy = "the device or its driver refuses AF_XDP on this queue";
  if (errno == EBUSY)
    remedy = "another AF_XDP socket holds this queue; stop the program that owns it";
  if (errno == EOPNOTSUPP)
    remedy = options.zero_copy ? "the driver has no zero-copy mode" : "no AF_XDP here";
  if (errno == ENETDOWN) remedy = "the device is down; bring it up first";
  if (errno == EPERM) remedy = "CAP_NET_RAW is needed";
  return SocketError(options, "bind(AF_XDP)", remedy);
}

void XskSocket::KickTx() {
  // EAGAIN, EBUSY, ENOBUFS: the kernel stopped early and the rest stays in the ring for the next
  // kick.
  (void)sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
}

void XskSocket::WakeRx() { (void)recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr); }

uint64_t XskSocket::rx_drops() const {
  xdp_statistics statistics{};
  socklen_t bytes = sizeof statistics;
  if (getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &statistics, &bytes) != 0) return 0;
  return statistics.rx_dropped + statistics.rx_ring_full;
}

}  // namespace xdp
