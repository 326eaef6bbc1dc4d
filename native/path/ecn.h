// Congestion marks of the outer packet, brought over to the inner one when the outer headers come
// off (RFC 6040 section 4.2, as the kernel does it). Pure.
#pragma once

#include "path/parse.h"

namespace path {

inline constexpr uint8_t kEcnMask = 3, kEct0 = 2, kEct1 = 1, kCe = 3;

template <typename Ip>
inline pkt::DropReason CombineEcn(uint8_t outer_tos, uint8_t* ip, const IpView& view) {
  const uint8_t outer = outer_tos & kEcnMask, inner = view.tos & kEcnMask;
  if (inner == 0) return outer == kCe ? pkt::DropReason::kEcn : kPass;
  const bool congested = outer == kCe && inner != kCe, changed = outer == kEct1 && inner == kEct0;
  if (!congested && !changed) return kPass;
  Ip::SetTos(ip, static_cast<uint8_t>((view.tos & ~kEcnMask) | outer));
  return kPass;
}

}  // namespace path
