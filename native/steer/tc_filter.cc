#include "steer/tc_filter.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "netlink/message.h"

namespace steer {

namespace {

// Public: `tc filter show dev DEV ingress` names them, and `ripstop cleanup` looks for them.
constexpr uint32_t kPriority = 158;
constexpr char kName[] = "ripstop";

tcmsg FamilyHeader(uint32_t ifindex, uint32_t parent, uint32_t handle, uint32_t info) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_handle = handle;
  header.tcm_parent = parent;
  header.tcm_info = info;
  return header;
}

base::Error KernelError(const netlink::Outcome& outcome, const char* op) {
  return base::Error{"BPF_ATTACH_FAILED", outcome.os_error, op,
                     outcome.message.empty()
                         ? "CAP_NET_ADMIN and a kernel with CLS_BPF and clsact are needed"
                         : outcome.message};
}

}  // namespace

base::Result<std::unique_ptr<TcFilter>> TcFilter::Attach(int program_fd, uint32_t ifindex,
                                                         Direction direction, uint32_t handle) {
  auto socket = netlink::RequestSocket::Open("");
  if (!socket.ok()) return socket.error();

  netlink::MessageBatch qdisc;
  qdisc.Begin(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
              FamilyHeader(ifindex, TC_H_CLSACT, TC_H_MAKE(TC_H_CLSACT, 0), 0));
  qdisc.Text(TCA_KIND, "clsact");
  qdisc.End();
  auto added = (*socket)->Apply(qdisc);
  if (!added.ok()) return added.error();
  const netlink::Outcome& outcome = added->front();
  if (outcome.os_error != 0 && outcome.os_error != EEXIST)
    return KernelError(outcome, "sendmsg(RTM_NEWQDISC clsact)");

  std::unique_ptr<TcFilter> filter(
      new TcFilter(std::move(socket).value(), ifindex, direction, handle));
  if (auto status = filter->Send(RTM_NEWTFILTER, NLM_F_CREATE, program_fd); !status.ok())
    return status.error();
  return filter;
}

base::Status TcFilter::Send(uint16_t type, uint16_t flags, int program_fd) {
  const uint32_t side = direction_ == Direction::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS;
  netlink::MessageBatch batch;
  batch.Begin(type, static_cast<uint16_t>(NLM_F_ACK | flags),
              FamilyHeader(ifindex_, TC_H_MAKE(TC_H_CLSACT, side), handle_,
                           TC_H_MAKE(kPriority << 16, __builtin_bswap16(ETH_P_ALL))));
  batch.Text(TCA_KIND, "bpf");
  if (program_fd >= 0) {
    const size_t options = batch.BeginNest(TCA_OPTIONS);
    batch.U32(TCA_BPF_FD, static_cast<uint32_t>(program_fd));
    batch.Text(TCA_BPF_NAME, kName);
    batch.U32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    batch.EndNest(options);
  }
  batch.End();
  auto outcomes = socket_->Apply(batch);
  if (!outcomes.ok()) return outcomes.error();
  if (outcomes->front().os_error != 0) {
    return KernelError(outcomes->front(), type == RTM_NEWTFILTER ? "sendmsg(RTM_NEWTFILTER bpf)"
                                                                 : "sendmsg(RTM_DELTFILTER)");
  }
  return base::Ok();
}

TcFilter::~TcFilter() {
  // The device may be gone, and the filter with it: nothing is left to report to anybody.
  [[maybe_unused]] const base::Status status = Send(RTM_DELTFILTER, 0, -1);
}

}  // namespace steer
