// sd_notify(3) without libsystemd: one datagram to the socket that the service manager named. Node
// has no Unix datagrams.
#pragma once

#include <string>

#include "base/result.h"

namespace systemd {

// `socket`: NOTIFY_SOCKET, a path or an abstract name (@...). Never blocks.
base::Status Notify(const std::string& socket, const std::string& state);

}  // namespace systemd
