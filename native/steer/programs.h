// Loads the BPF programs and their maps with the bpf() system call alone. CAP_BPF and CAP_NET_ADMIN
// are enough: programs and loader do without what the kernel reserves for CAP_PERFMON
// (docs/decisions/0076). Control thread only.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace steer {

struct Programs {
  base::UniqueFd overlay_egress, overlay_ingress, underlay_ingress, nic_ingress, nic_egress;
  base::UniqueFd packet_filter;
  base::UniqueFd xdp_redirect, xdp_overlay;
  base::UniqueFd state_map, xsks_map, overlay_xsks_map;
};

base::Result<Programs> LoadPrograms();

}  // namespace steer
