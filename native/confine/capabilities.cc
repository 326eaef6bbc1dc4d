#include "confine/capabilities.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace confine {

namespace {

// The signal by which glibc itself makes all threads change their user id. No thread can block it
// through glibc, so it reaches Node's signal thread too, which blocks everything else. It is
// borrowed for a moment and given back; nobody changes user ids here meanwhile.
constexpr int kSignal = 33;
constexpr uint64_t kPatienceNs = 2'000'000'000;

// What the kernel takes; glibc's sigaction() refuses signal 33.
struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

std::atomic<int> answered{0};

long Drop() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capset, &header, none);
}

void OnSignal(int) {
  const int saved = errno;
  Drop();
  errno = saved;
  answered.fetch_add(1, std::memory_order_release);
}

std::vector<pid_t> Threads() {
  std::vector<pid_t> threads;
  DIR* directory = opendir("/proc/self/task");
  if (directory == nullptr) return threads;
  while (const dirent* entry = readdir(directory)) {
    const pid_t thread = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (thread > 0) threads.push_back(thread);
  }
  closedir(directory);
  return threads;
}

// A thread that has ended holds nothing.
bool HoldsCapabilities(pid_t thread) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
  base::UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t n = fd.valid() ? read(fd.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return false;
  text[n] = '\0';
  for (const char* name : {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"}) {
    const char* at = std::strstr(text, name);
    if (at != nullptr && std::strtoull(at + std::strlen(name), nullptr, 16) != 0) return true;
  }
  return false;
}

bool Borrow(KernelAction* before) {
  // The restorer that every action needs on x86-64 is glibc's; any action of glibc's names it.
  struct sigaction plain {};
  plain.sa_handler = OnSignal;
  struct sigaction old {};
  if (sigaction(SIGRTMAX, &plain, &old) != 0) return false;
  KernelAction action{};
  const bool known = syscall(SYS_rt_sigaction, SIGRTMAX, nullptr, &action, sizeof action.mask) == 0;
  sigaction(SIGRTMAX, &old, nullptr);
  action.flags |= SA_RESTART;
  return known && syscall(SYS_rt_sigaction, kSignal, &action, before, sizeof action.mask) == 0;
}

}  // namespace

base::Status DropCapabilities() {
  if (Drop() != 0)
    return base::SystemError("CONFINE_FAILED", "capset", "capabilities could not be given up");
  KernelAction before{};
  if (!Borrow(&before))
    return base::SystemError("CONFINE_FAILED", "rt_sigaction(33)", "needed to reach all threads");
  const pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  const uint64_t until = base::MonotonicNs() + kPatienceNs;
  bool clean = false;
  // Again until a whole look finds nothing: threads may start while we ask.
  while (!clean && base::MonotonicNs() < until) {
    clean = true;
    answered.store(0, std::memory_order_release);
    int asked = 0;
    for (const pid_t thread : Threads()) {
      if (thread == self || !HoldsCapabilities(thread)) continue;
      clean = false;
      if (syscall(SYS_tgkill, getpid(), thread, kSignal) == 0) ++asked;
    }
    while (answered.load(std::memory_order_acquire) < asked && base::MonotonicNs() < until) {
      const timespec pause{0, 100'000};
      nanosleep(&pause, nullptr);
    }
  }
  syscall(SYS_rt_sigaction, kSignal, &before, nullptr, sizeof before.mask);
  if (clean) return base::Ok();
  return base::Error{"CONFINE_FAILED", 0, "capset in all threads",
                     "a thread did not give its capabilities up within 2 s"};
}

}  // namespace confine
