#include "steer/steering.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "steer/programs.h"

namespace steer {

namespace {

// enum bpf_attach_type, Linux 6.6; absent from Debian 12's headers.
constexpr uint32_t kTcxIngress = 46;
constexpr uint32_t kTcxEgress = 47;
// Three sleeps of an idle worker (engine/rest.h). A worker that is merely kept waiting is passed
// by, which costs nothing but the kernel's path for that packet; a dead one costs what comes until
// then (docs/decisions/0077).
constexpr uint64_t kStaleNs = 30'000'000;

uint64_t PageRounded(uint64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

const char* Name(Hook hook) {
  switch (hook) {
    case Hook::kOverlayEgress:
      return "flannel device egress";
    case Hook::kOverlayTap:
      return "overlay TAP ingress";
    case Hook::kUnderlayTap:
      return "underlay TAP ingress";
    case Hook::kNic:
      return "external interface ingress";
    case Hook::kNicEgress:
      return "external interface egress";
  }
  return "";
}

}  // namespace

base::Result<std::unique_ptr<Steering>> Steering::Load() {
  auto programs = LoadPrograms();
  if (!programs.ok()) return programs.error();
  std::unique_ptr<Steering> steering(new Steering());
  steering->programs_ = std::move(programs).value();
  void* mapped = mmap(nullptr, PageRounded(sizeof(rs_steer_state)), PROT_READ | PROT_WRITE,
                      MAP_SHARED, steering->programs_.state_map.get(), 0);
  if (mapped == MAP_FAILED) {
    return base::SystemError("BPF_MAP_FAILED", "mmap(steer_state)",
                             "the kernel must allow mapping a BPF array (Linux >= 5.5)");
  }
  steering->state_ = static_cast<rs_steer_state*>(mapped);
  steering->state_->stale_ns = kStaleNs;
  return steering;
}

Steering::~Steering() {
  Detach();
  if (state_ != nullptr) munmap(state_, PageRounded(sizeof(rs_steer_state)));
}

uint64_t Steering::refused() const {
  return std::atomic_ref<__u64>(state_->refused_packets).load(std::memory_order_relaxed);
}

void Steering::Follow(const fwd::Snapshot& table) {
  // A packet that meets half of this update goes the kernel's way or is dropped as not_ours; both
  // are counted.
  std::memcpy(state_->vtep_mac, table.vtep_mac(), sizeof state_->vtep_mac);
  state_->local_ip4_be = table.underlay_v4_be();
  std::memcpy(state_->local_ip6, table.underlay_v6(), sizeof state_->local_ip6);
  static constexpr uint8_t kAbsent[16] = {};
  const bool has_v6 = std::memcmp(table.underlay_v6(), kAbsent, sizeof kAbsent) != 0;
  state_->local_families = static_cast<uint16_t>((table.underlay_v4_be() != 0 ? RS_LOCAL_IP4 : 0) |
                                                 (has_v6 ? RS_LOCAL_IP6 : 0));
}

int Steering::ProgramOf(Hook hook) const {
  switch (hook) {
    case Hook::kOverlayEgress:
      return programs_.overlay_egress.get();
    case Hook::kOverlayTap:
      return programs_.overlay_ingress.get();
    case Hook::kUnderlayTap:
      return programs_.underlay_ingress.get();
    case Hook::kNic:
      return programs_.nic_ingress.get();
    case Hook::kNicEgress:
      return programs_.nic_egress.get();
  }
  return -1;
}

base::Status Steering::Attach(Hook hook, uint32_t ifindex, const Attachment& how) {
  const bool egress = hook == Hook::kOverlayEgress || hook == Hook::kNicEgress;
  if (how.use_tcx) {
    bpf_attr attr{};
    attr.link_create.prog_fd = static_cast<uint32_t>(ProgramOf(hook));
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = egress ? kTcxEgress : kTcxIngress;
    const long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
    if (fd >= 0) {
      links_.emplace_back(static_cast<int>(fd));
      return base::Ok();
    }
    if (errno != EINVAL) {
      return base::SystemError("BPF_ATTACH_FAILED",
                               std::string("bpf(BPF_LINK_CREATE, tcx) at ") + Name(hook),
                               "CAP_BPF and CAP_NET_ADMIN are needed in this network namespace");
    }
    // EINVAL: a kernel that does not know the attach type.
  }
  const auto direction = egress ? TcFilter::Direction::kEgress : TcFilter::Direction::kIngress;
  auto filter = TcFilter::Attach(ProgramOf(hook), ifindex, direction,
                                 TcFilter::Handle(state_->vni, how.second_turn));
  if (!filter.ok()) return filter.error();
  filters_.push_back(std::move(filter).value());
  return base::Ok();
}

const char* Steering::method() const {
  if (!links_.empty()) return "tcx";
  return filters_.empty() ? "none" : "tc";
}

void Steering::Release() {
  if (state_ != nullptr) state_->workers = 0;  // rs_alive() answers no from now on.
}

void Steering::Detach() {
  Release();
  links_.clear();
  filters_.clear();
}

}  // namespace steer
