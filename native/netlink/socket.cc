#include "netlink/socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "netlink/namespace.h"

namespace netlink {

base::Result<base::UniqueFd> OpenSocket(const std::string& namespace_path, bool blocking) {
  base::UniqueFd opened;
  const base::Status outcome = RunInNamespace(namespace_path, [&]() -> base::Status {
    const int mode = SOCK_RAW | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK);
    opened.Reset(::socket(AF_NETLINK, mode, NETLINK_ROUTE));
    if (!opened.valid())
      return base::SystemError("NETLINK_OPEN_FAILED", "socket(NETLINK_ROUTE)",
                               "the kernel must offer rtnetlink");
    const sockaddr_nl any{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
    if (::bind(opened.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) {
      return base::SystemError("NETLINK_OPEN_FAILED", "bind(NETLINK_ROUTE)",
                               "no netlink port is free");
    }
    return base::Ok();
  });
  if (!outcome.ok()) return outcome.error();
  const int fd = opened.get();
  const int on = 1;
  // Each of these only improves messages or saves work; kernels that lack one still serve us.
  (void)::setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)::setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)::setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
                   sizeof kReceiveBufferBytes) != 0) {
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  }
  if (blocking) {
    // The kernel answers at once; the limit only turns a kernel that does not into an error instead
    // of a stuck thread.
    const timeval limit{.tv_sec = 30, .tv_usec = 0};
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  return opened;
}

ssize_t ReceiveDatagram(int fd, std::vector<uint8_t>& into) {
  into.resize(kDatagramBytes);
  for (;;) {
    const ssize_t size = ::recv(fd, into.data(), into.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size > static_cast<ssize_t>(into.size())) {
      errno = EMSGSIZE;
      return -1;
    }
    return size;
  }
}

}  // namespace netlink
