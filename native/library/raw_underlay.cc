#include "library/raw_underlay.h"

#include <linux/filter.h>
#include <sys/socket.h>

#include <cstring>

#include "base/clock.h"
#include "base/endian.h"

namespace library {

base::Result<std::vector<port::UdpSocket>> HoldPort(const port::UdpAddress& v4,
                                                    const port::UdpAddress& v6, uint16_t port) {
  std::vector<port::UdpSocket> held;
  for (const port::UdpAddress& local : {v4, v6}) {
    if (local.family == 0) continue;
    port::UdpSocketOptions options;
    options.local = local;
    options.port = port;
    options.segmentation = false;
    auto socket = port::UdpSocket::Open(options);
    if (!socket.ok()) return socket.error();
    sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program{1, none};
    if (setsockopt(socket->fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
      return base::SystemError("UDP_SOCKET_FAILED", "setsockopt(SO_ATTACH_FILTER)",
                               "the kernel refused the socket filter");
    }
    held.push_back(std::move(socket).value());
  }
  if (held.empty())
    return base::Error{"UDP_SOCKET_FAILED", 0, "open", "no local address was given"};
  return held;
}

base::Result<std::unique_ptr<steer::Steering>> TakeEveryVni(const port::UdpAddress& v4,
                                                            const port::UdpAddress& v6,
                                                            uint16_t port) {
  auto steering = steer::Steering::Load();
  if (!steering.ok()) return steering.error();
  rs_steer_state& state = (*steering)->state();
  state.encapsulation = RS_ENCAPSULATION_UDP;  // Looks at address and port only.
  state.udp_port_be = base::SwapBytes(port);
  if (v4.family != 0) {
    state.local_families |= RS_LOCAL_IP4;
    std::memcpy(&state.local_ip4_be, v4.bytes.data(), sizeof state.local_ip4_be);
  }
  if (v6.family != 0) {
    state.local_families |= RS_LOCAL_IP6;
    std::memcpy(state.local_ip6, v6.bytes.data(), sizeof state.local_ip6);
  }
  state.stale_ns = UINT64_MAX;
  state.heartbeat[0].ns = base::MonotonicNs();
  state.workers = 1;
  return steering;
}

port::Statistics RawUnderlay::statistics() const {
  port::Statistics seen = port_->statistics();
  if (steering_ == nullptr) return seen;  // Every packet's copy ends there.
  for (const port::UdpSocket& socket : held_) seen.rx_kernel_drops += socket.ReadDrops();
  return seen;
}

}  // namespace library
