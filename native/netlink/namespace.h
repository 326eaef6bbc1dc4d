// Running a step inside another network namespace without moving the calling thread: a helper
// thread enters it, runs the step and ends. Sockets opened there stay there. The main thread of
// Node never calls setns.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace netlink {

// Runs `step` in the namespace at `path` (e.g. /run/netns/blue); in the current one when `path` is
// empty.
base::Status RunInNamespace(const std::string& path, const std::function<base::Status()>& step);

// Writes net.* settings: `name` is the part after /proc/sys/, e.g.
// "net/ipv6/conf/flannel.1/accept_ra".
base::Status WriteSysctl(const std::string& namespace_path, const std::string& name,
                         const std::string& value);

}  // namespace netlink
