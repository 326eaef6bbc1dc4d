#include "port/handover.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace port {

namespace {

// As long as a predecessor may take to end, and more. The number that the kernel gives the
// successor's queue then is 0.
constexpr uint64_t kTakeoverNs = 5'000'000'000;

constexpr bpf_insn Set(uint8_t to, int32_t value) {
  return {BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value};
}
constexpr bpf_insn kExit = {BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

}  // namespace

base::Status GiveDeviceTo(Turn turn, int tun_fd) {
  // return now < until ? 1 : 0. By itself 0 again, because whoever takes over has given up the
  // right to say so, and the next successor's queue would be number 1 from the moment it is there.
  const uint64_t until = turn == Turn::kSuccessor ? base::MonotonicNs() + kTakeoverNs : 0;
  const bpf_insn code[] = {
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns},
      {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, 0, 0, static_cast<int32_t>(until)},
      {0, 0, 0, 0, static_cast<int32_t>(until >> 32)},
      {BPF_JMP | BPF_JLT | BPF_X, BPF_REG_0, BPF_REG_1, 2, 0},
      Set(BPF_REG_0, 0),
      kExit,
      Set(BPF_REG_0, 1),
      kExit,
  };
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = reinterpret_cast<uint64_t>(code);
  attributes.insn_cnt = sizeof code / sizeof code[0];
  attributes.license = reinterpret_cast<uint64_t>("Dual BSD/GPL");
  const base::UniqueFd program(
      static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  if (!program.valid())
    return base::SystemError("TUN_SHARE_FAILED", "bpf(BPF_PROG_LOAD)", "CAP_BPF is needed");
  int fd = program.get();
  if (ioctl(tun_fd, TUNSETSTEERINGEBPF, &fd) == 0) return base::Ok();
  return base::SystemError("TUN_SHARE_FAILED", "ioctl(TUNSETSTEERINGEBPF)",
                           "the kernel cannot choose a queue by a program; Linux >= 4.16 can");
}

base::Status GivePortTo(Turn turn, int socket_fd) {
  sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, static_cast<uint32_t>(turn)}};
  const sock_fprog program = {1, code};
  if (setsockopt(socket_fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0)
    return base::Ok();
  return base::SystemError("UDP_SOCKET_FAILED", "setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
                           "the kernel refused to choose among the sockets of a port");
}

}  // namespace port
