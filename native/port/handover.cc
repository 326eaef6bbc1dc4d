#include "port/handover.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace port {

base::Status GiveDeviceTo(Turn turn, int tun_fd) {
  // return turn;
  const bpf_insn code[] = {
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, static_cast<int32_t>(turn)},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
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
