// An AF_NETLINK/NETLINK_ROUTE socket with the options every user of it needs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netlink {

inline constexpr int kReceiveBufferBytes = 8 << 20;
// One datagram of a dump is at most 32 KiB on every kernel so far; the size is what iproute2
// settled on.
inline constexpr size_t kDatagramBytes = 64 << 10;

// Opens it inside the namespace at `namespace_path` (empty: ours): extended acks, capped acks,
// strict dump filters.
base::Result<base::UniqueFd> OpenSocket(const std::string& namespace_path, bool blocking);

// Reads one datagram into `into`, retrying on EINTR. Returns bytes, or -1 with errno (EMSGSIZE when
// it was cut).
ssize_t ReceiveDatagram(int fd, std::vector<uint8_t>& into);

}  // namespace netlink
