#include "netlink/namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <thread>

#include "base/unique_fd.h"

namespace netlink {

base::Status RunInNamespace(const std::string& path, const std::function<base::Status()>& step) {
  if (path.empty()) return step();
  base::Status outcome = base::Ok();
  std::thread helper([&] {
    const base::UniqueFd ns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!ns.valid()) {
      outcome = base::SystemError("NETNS_OPEN_FAILED", "open(" + path + ")",
                                  "check that the network namespace exists");
      return;
    }
    if (::setns(ns.get(), CLONE_NEWNET) != 0) {
      outcome = base::SystemError("NETNS_ENTER_FAILED", "setns(" + path + ")",
                                  "run as root or with CAP_SYS_ADMIN");
      return;
    }
    outcome = step();
  });
  helper.join();
  return outcome;
}

base::Status WriteSysctl(const std::string& namespace_path, const std::string& name,
                         const std::string& value) {
  return RunInNamespace(namespace_path, [&]() -> base::Status {
    const std::string path = "/proc/sys/" + name;
    const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid())
      return base::SystemError("SYSCTL_FAILED", "open(" + path + ")",
                               "the setting does not exist here or is read-only");
    if (::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
      return base::SystemError("SYSCTL_FAILED", "write(" + path + ")",
                               "the kernel refused the value " + value);
    }
    return base::Ok();
  });
}

}  // namespace netlink
