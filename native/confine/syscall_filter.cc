#include "confine/syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace confine {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "add the audit architecture of this machine"
#endif

constexpr uint32_t kAllowed[] = {
    // Descriptors that are there already.
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_close,
    SYS_fstat,
    SYS_lseek,
    SYS_ppoll,
    SYS_epoll_pwait,
    SYS_epoll_ctl,
    SYS_accept4,
    SYS_shutdown,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_getpeername,
    // Its own socket and pid file go when it ends.
    SYS_statx,
    SYS_newfstatat,
    SYS_unlinkat,
    // Memory.
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    // Threads, and what they wait with.
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_membarrier,
    SYS_gettid,
    SYS_getpid,
    SYS_exit,
    SYS_exit_group,
    // Signals to itself.
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    // Time and facts.
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
#if defined(__x86_64__)
    SYS_poll,
    SYS_epoll_wait,
    SYS_time,
    SYS_stat,
    SYS_lstat,
    SYS_unlink,
#endif
};

class Program {
 public:
  void LoadNumber() { Load(offsetof(seccomp_data, nr)); }
  void Load(size_t offset) {
    code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  }
  // Low half of an argument; the arguments looked at fit 32 bits.
  void LoadArgument(size_t index) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    Load(offsetof(seccomp_data, args) + 8 * index);
  }
  void Return(uint32_t what) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, what)); }
  // Skips `count` instructions unless the accumulator is `value`.
  void UnlessEqualSkip(uint32_t value, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count));
  }
  void IfEqualSkip(uint32_t value, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0));
  }
  void IfEqualReturn(uint32_t value, uint32_t what) {
    UnlessEqualSkip(value, 1);
    Return(what);
  }
  // Only with one of these values as its argument.
  void AllowArgument(uint32_t number, size_t index, std::initializer_list<uint32_t> values) {
    UnlessEqualSkip(number, static_cast<uint8_t>(2 + 2 * values.size()));
    LoadArgument(index);
    for (const uint32_t value : values) IfEqualReturn(value, SECCOMP_RET_ALLOW);
    Return(SECCOMP_RET_ERRNO | EPERM);
  }
  // Only with all bits of `mask` set.
  void AllowBits(uint32_t number, size_t index, uint32_t mask) {
    UnlessEqualSkip(number, 5);
    LoadArgument(index);
    code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
    IfEqualReturn(mask, SECCOMP_RET_ALLOW);
    Return(SECCOMP_RET_ERRNO | EPERM);
  }
  sock_fprog Finish() { return {static_cast<unsigned short>(code_.size()), code_.data()}; }

 private:
  std::vector<sock_filter> code_;
};

}  // namespace

base::Status InstallSyscallFilter() {
  Program program;
  program.Load(offsetof(seccomp_data, arch));
  program.IfEqualSkip(kArchitecture, 1);
  program.Return(SECCOMP_RET_KILL_PROCESS);
  program.LoadNumber();
  for (const uint32_t number : kAllowed) program.IfEqualReturn(number, SECCOMP_RET_ALLOW);
  // clone3 has its flags in memory, where a filter cannot look; without it glibc uses clone.
  program.IfEqualReturn(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
  program.AllowBits(SYS_clone, 0, CLONE_VM | CLONE_THREAD);
  program.AllowArgument(SYS_tgkill, 0, {static_cast<uint32_t>(getpid())});
  // At its end Node puts standard input and output back as it found them, and aborts if it may not.
  program.AllowArgument(SYS_ioctl, 1, {FIONBIO, TCGETS, TCSETS});
  program.AllowArgument(SYS_fcntl, 1, {F_GETFL, F_SETFL});
  program.Return(SECCOMP_RET_ERRNO | EPERM);

  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return base::SystemError("CONFINE_FAILED", "prctl(PR_SET_NO_NEW_PRIVS)",
                             "Linux >= 3.5 is needed");
  }
  sock_fprog filter = program.Finish();
  const long result =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  if (result == 0) return base::Ok();
  if (result > 0) errno = EBUSY;
  return base::SystemError(
      "CONFINE_FAILED", "seccomp(SECCOMP_SET_MODE_FILTER)",
      "a kernel with CONFIG_SECCOMP_FILTER is needed; all threads must be ours");
}

}  // namespace confine
