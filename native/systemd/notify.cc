#include "systemd/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "base/unique_fd.h"

namespace systemd {

base::Status Notify(const std::string& socket_name, const std::string& state) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_name.empty() || socket_name.size() >= sizeof address.sun_path)
    return base::Error{"NOTIFY_FAILED", 0, "sendmsg(NOTIFY_SOCKET)",
                       "NOTIFY_SOCKET is no socket name; start the agent from its unit"};
  std::memcpy(address.sun_path, socket_name.data(), socket_name.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name.size());
  base::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() || sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                            reinterpret_cast<const sockaddr*>(&address), bytes) < 0) {
    return base::SystemError("NOTIFY_FAILED", "sendmsg(NOTIFY_SOCKET)",
                             "the service manager does not learn of this; check NotifyAccess=");
  }
  return base::Ok();
}

}  // namespace systemd
