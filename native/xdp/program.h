// Attaching an XDP program to a device by bpf_link, and telling what sits there already. Never
// replaces anything. Control thread only, in the device's network namespace. The link vanishes with
// its descriptor, thus with the process.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace xdp {

enum class AttachMode : uint8_t {
  kNative,   // In the driver, before an skb exists.
  kGeneric,  // In the core, on every device; leaves the offloads of a veth peer alone.
};

// The error code is XDP_PROGRAM_FOREIGN when another XDP program holds the device: no mode will
// work then.
base::Result<base::UniqueFd> AttachProgram(int program_fd, const std::string& device,
                                           uint32_t ifindex, AttachMode mode);

// "id 42 (name)" of the XDP program on the device, or "" when there is none or it cannot be told.
std::string DescribeAttachedProgram(uint32_t ifindex);

// Makes the redirect program hand packets of this queue to the socket.
base::Status RegisterSocket(int xskmap_fd, uint32_t queue_id, int socket_fd);

}  // namespace xdp
