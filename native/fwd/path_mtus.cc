#include "fwd/path_mtus.h"

#include <algorithm>

#include "base/endian.h"

namespace fwd {

namespace {

uint32_t Find(const Snapshot& table, const PathMtu& path) {
  return path.family == 4 ? table.FindUnderlay4(base::Load<uint32_t>(path.peer.data()))
                          : table.FindUnderlay6(path.peer.data());
}

}  // namespace

bool PathMtus::Learn(const PathMtu& learned, uint64_t now_ns, const Snapshot& table) {
  const uint32_t node = Find(table, learned);
  if (node == kNoPeer) return false;
  const auto same = [&](const Known& known) {
    return known.path.family == learned.family && known.path.peer == learned.peer;
  };
  auto known = std::find_if(known_.begin(), known_.end(), same);
  if (known == known_.end()) {
    known = known_.insert(known_.end(), {learned, 0});
  } else if (learned.mtu > known->path.mtu) {
    return false;
  }
  known->path.mtu = learned.mtu;
  known->expires_ns = now_ns + kLifetimeNs;
  table.LimitPath(node, learned.mtu);
  return true;
}

void PathMtus::Expire(uint64_t now_ns, const Snapshot& table) {
  std::erase_if(known_, [&](const Known& known) {
    if (known.expires_ns > now_ns) return false;
    if (const uint32_t node = Find(table, known.path); node != kNoPeer) table.UnlimitPath(node);
    return true;
  });
}

uint64_t PathMtus::NextExpiry() const {
  uint64_t next = UINT64_MAX;
  for (const Known& known : known_) next = std::min(next, known.expires_ns);
  return next;
}

void PathMtus::Follow(const Snapshot& next) {
  std::erase_if(known_, [&](const Known& known) {
    const uint32_t node = Find(next, known.path);
    if (node == kNoPeer) return true;
    next.LimitPath(node, known.path.mtu);
    return false;
  });
}

}  // namespace fwd
