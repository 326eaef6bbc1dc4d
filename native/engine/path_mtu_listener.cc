#include "engine/path_mtu_listener.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"
#include "path/outer_icmp.h"

namespace engine {

namespace {

constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, 4.20.
constexpr int kBufferBytes = 64 * 1024;
// Whoever floods us with messages gets this much of a core and not more.
constexpr uint32_t kBurst = 32;
constexpr int kPauseMs = 10;
constexpr uint32_t kMessageMax = 2048;  // RFC 1812: 576, RFC 4443: 1280; and the Ethernet header.

// IPv4: ICMP, no fragment, type 3 code 4 behind a header of any length. IPv6: ICMPv6 type 2
// directly behind the header, where routers put it.
// clang-format off
constexpr sock_filter kTooBig[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 15),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 7),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 9),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 0, 11),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 6),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 9, 0),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0304, 5, 6),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 6),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 3),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 40),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0200, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kMessageMax),
    BPF_STMT(BPF_RET | BPF_K, 0),
};
// clang-format on

base::Error SocketError(const std::string& device, const char* op, const char* remedy) {
  return base::SystemError("PATH_MTU_SOCKET_FAILED", op, device + ": " + remedy);
}

// Milliseconds until `when`, for poll: -1 when that is never.
int Until(uint64_t when_ns, uint64_t now_ns) {
  if (when_ns == UINT64_MAX) return -1;
  if (when_ns <= now_ns) return 0;
  return static_cast<int>(std::min<uint64_t>((when_ns - now_ns) / 1'000'000 + 1, 3'600'000));
}

}  // namespace

base::Result<std::unique_ptr<PathMtuListener>> PathMtuListener::Open(const std::string& device) {
  // Protocol 0: nothing arrives before bind, thus nothing before the filter is in place.
  base::UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return SocketError(device, "socket(AF_PACKET)", "CAP_NET_RAW is needed");
  const sock_fprog program{std::size(kTooBig), const_cast<sock_filter*>(kTooBig)};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return SocketError(device, "setsockopt(SO_ATTACH_FILTER)",
                       "the kernel refused the socket filter");
  }
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_PACKET, kIgnoreOutgoing, &on, sizeof on);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (address.sll_ifindex == 0 ||
      bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return SocketError(device, "bind(AF_PACKET)", "the device must exist and be up");
  }
  base::UniqueFd stop(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!stop.valid())
    return SocketError(device, "eventfd", "raise the open-files limit (ulimit -n)");
  return std::unique_ptr<PathMtuListener>(new PathMtuListener(std::move(fd), std::move(stop)));
}

PathMtuListener::PathMtuListener(base::UniqueFd socket, base::UniqueFd stop)
    : socket_(std::move(socket)), stop_(std::move(stop)), thread_([this] { Run(); }) {}

PathMtuListener::~PathMtuListener() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void PathMtuListener::Publish(fwd::Publisher& publisher,
                              std::unique_ptr<const fwd::Snapshot> next) {
  const std::lock_guard lock(mutex_);
  paths_.Follow(*next);
  table_ = next.get();
  publisher.Publish(std::move(next));
}

PathMtuListener::Seen PathMtuListener::seen() {
  const std::lock_guard lock(mutex_);
  Seen seen = seen_;
  seen.paths_lowered = paths_.size();
  return seen;
}

bool PathMtuListener::Hear() {
  uint8_t frame[kMessageMax];
  const ssize_t n = recv(socket_.get(), frame, sizeof frame, MSG_DONTWAIT);
  if (n < 0) return false;
  const std::lock_guard lock(mutex_);
  ++seen_.heard;
  if (table_ == nullptr) return true;
  const auto said = path::ReadOuterIcmp(*table_, frame, static_cast<uint32_t>(n));
  if (said && paths_.Learn(*said, base::MonotonicNs(), *table_)) ++seen_.learned;
  return true;
}

void PathMtuListener::Run() {
  pthread_setname_np(pthread_self(), "ripstop-pathmtu");
  for (;;) {
    int wait_ms = -1;
    {
      const std::lock_guard lock(mutex_);
      const uint64_t now = base::MonotonicNs();
      if (table_ != nullptr) paths_.Expire(now, *table_);
      wait_ms = Until(paths_.NextExpiry(), now);
    }
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    poll(fds, 2, wait_ms);
    if (fds[0].revents != 0) return;
    uint32_t heard = 0;
    while (heard < kBurst && Hear()) ++heard;
    // After a burst, and when the device went away and poll has nothing but errors to tell.
    const bool pause = heard == kBurst || (heard == 0 && fds[1].revents != 0);
    if (pause && poll(fds, 1, kPauseMs) > 0) return;
  }
}

}  // namespace engine
