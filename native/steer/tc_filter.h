// The way to attach before tcx links (Linux < 6.6): a direct-action BPF filter on the clsact qdisc,
// through rtnetlink. Such a filter outlives its process; the heartbeat in the shared state then
// sends every packet the kernel's way until somebody replaces or removes the filter. Control thread
// only. Never touches a filter that is not ours.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "netlink/request_socket.h"

namespace steer {

class TcFilter {
 public:
  enum class Direction { kIngress, kEgress };

  // Overlays share a NIC and its filters; each has two handles of its own, for its data plane and
  // for a successor beside it. `ripstop cleanup` works them out again (src/host/own-filters.ts).
  static constexpr uint32_t Handle(uint32_t vni, bool second_turn) {
    return 2 * vni + (second_turn ? 2 : 1);
  }

  // Adds the clsact qdisc if there is none and puts the program at our own priority, replacing what
  // a dead data plane may have left under this handle.
  static base::Result<std::unique_ptr<TcFilter>> Attach(int program_fd, uint32_t ifindex,
                                                        Direction direction, uint32_t handle);
  // Removes the filter, unless the process is confined by now: then the agent does. The qdisc
  // stays, because others may have used it since.
  ~TcFilter();
  TcFilter(const TcFilter&) = delete;
  TcFilter& operator=(const TcFilter&) = delete;

 private:
  TcFilter(std::unique_ptr<netlink::RequestSocket> socket, uint32_t ifindex, Direction direction,
           uint32_t handle)
      : socket_(std::move(socket)), ifindex_(ifindex), direction_(direction), handle_(handle) {}
  base::Status Send(uint16_t type, uint16_t flags, int program_fd);

  std::unique_ptr<netlink::RequestSocket> socket_;
  uint32_t ifindex_;
  Direction direction_;
  uint32_t handle_;
};

}  // namespace steer
