// A classic BPF socket filter that lets through encapsulated packets only: the kernel drops the
// rest before it copies or wakes anyone. Classic, because it needs no CAP_BPF. Same answer as
// native/bpf/match.bpf.h except for the address, which changes at run time: packets to other
// addresses come through and the path counts them as not_ours.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace port {

struct EncapsulatedMatch {
  uint16_t udp_port = 0;  // Host order; destination port.
  bool vxlan = true;      // Whether a VXLAN header follows, whose VNI must match too.
  uint32_t vni = 0;
};

std::vector<sock_filter> BuildPacketFilter(const EncapsulatedMatch& match);

// Everything but frames whose VLAN tag stands beside them: they would arrive as if they had none.
std::vector<sock_filter> BuildUntaggedFilter();

}  // namespace port
