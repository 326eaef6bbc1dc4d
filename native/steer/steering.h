// Steering: loads the BPF programs, attaches them by links that die with this process, and owns the
// shared state they read (liveness, addresses, devices). Thread: control; workers only write their
// heartbeat. Attach order matters: the state is complete before the first program is attached;
// detaching is the first step of close.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/steer_state.h"
#include "fwd/snapshot.h"
#include "steer/programs.h"
#include "steer/tc_filter.h"

namespace steer {

// Where a program sits; each is one BPF link.
enum class Hook { kOverlayEgress, kOverlayTap, kUnderlayTap, kNic, kNicEgress };

struct Attachment {
  bool use_tcx = true;       // False forces the tc filter.
  bool second_turn = false;  // Beside another data plane's filters, not instead of them.
};

class Steering {
 public:
  // Loads all programs; nothing is attached yet. Needs CAP_BPF and CAP_NET_ADMIN.
  static base::Result<std::unique_ptr<Steering>> Load();
  ~Steering();
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  // Devices and format; call before the first Attach.
  rs_steer_state& state() { return *state_; }
  // Packets that rs_nic_egress has dropped. Any thread.
  uint64_t refused() const;
  // Addresses follow the peer table; called at every apply.
  void Follow(const fwd::Snapshot& table);

  // Attaches by a tcx link (Linux >= 6.6), or, where there are none, by a tc filter. A data plane
  // that is there already stays in force until it lets go: whoever is not alive passes packets on.
  base::Status Attach(Hook hook, uint32_t ifindex, const Attachment& how);
  // "tcx", "tc", or "none" while nothing is attached.
  const char* method() const;
  // From here on every packet takes the kernel path, or that of the next data plane. Idempotent.
  void Release();
  // Release, and the programs go. Idempotent.
  void Detach();

  // For SO_ATTACH_BPF: lets through what rs_nic_ingress takes out.
  int packet_filter() const { return programs_.packet_filter.get(); }
  int nic_egress_program() const { return programs_.nic_egress.get(); }
  int xdp_program() const { return programs_.xdp_redirect.get(); }
  int xsks_map() const { return programs_.xsks_map.get(); }
  // The same for our own end of a private pair, whose frames are all ours.
  int overlay_xdp_program() const { return programs_.xdp_overlay.get(); }
  int overlay_xsks_map() const { return programs_.overlay_xsks_map.get(); }

 private:
  Steering() = default;
  int ProgramOf(Hook hook) const;

  Programs programs_;
  rs_steer_state* state_ = nullptr;  // Mapped from the map steer_state.
  std::vector<base::UniqueFd> links_;
  std::vector<std::unique_ptr<TcFilter>> filters_;
};

}  // namespace steer
