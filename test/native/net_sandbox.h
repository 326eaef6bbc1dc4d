// A network namespace of the test's own with a veth pair in it, gone when the object goes. Needs
// root; Missing() is the probe. The calling thread lives in the namespace meanwhile, and so do
// threads it starts.
#pragma once

#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fcntl.h>
#include <cstdlib>
#include <string>

#include "base/unique_fd.h"

namespace test {

class NetSandbox {
 public:
  // "" when this process may make namespaces, otherwise what is missing.
  static std::string Missing() {
    if (geteuid() != 0) return "needs root for a network namespace of its own";
    if (access("/proc/thread-self/ns/net", F_OK) != 0)
      return "the kernel has no network namespaces";
    return "";
  }

  explicit NetSandbox(uint32_t queues = 1)
      : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const std::string n = std::to_string(queues);
    ready_ = home_.valid() && unshare(CLONE_NEWNET) == 0 && Run("ip link set lo up") &&
             Run("ip link add rst-a numrxqueues " + n + " numtxqueues " + n +
                 " type veth peer name rst-b numrxqueues " + n + " numtxqueues " + n) &&
             Run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1") && Run("ip link set rst-a up") &&
             Run("ip link set rst-b up");
  }
  ~NetSandbox() {
    if (ready_) Run("ip link del rst-a");
    if (home_.valid()) (void)setns(home_.get(), CLONE_NEWNET);
  }
  NetSandbox(const NetSandbox&) = delete;
  NetSandbox& operator=(const NetSandbox&) = delete;

  bool ready() const { return ready_; }
  static bool Run(const std::string& command) { return std::system(command.c_str()) == 0; }

 private:
  base::UniqueFd home_;
  bool ready_ = false;
};

}  // namespace test
