// A veth pair between the steering and an overlay port that needs a device: AF_XDP or AF_PACKET.
// The steering redirects frames into one end, the port reads them at the other; neither end has an
// address. The name is held by an abstract socket, which the kernel frees with the process; the
// pair itself may stay behind and is removed by whoever opens next under that name, or by `ripstop
// cleanup`. Control thread.
//
//   flannel.<VNI> -- steer --> rsp.<VNI> ==== rsq.<VNI> -- port -- worker
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netlink {
class RequestSocket;
}

namespace plane {

struct PrivatePairOptions {
  std::string name;  // What follows "rsp." and "rsq.".
  uint32_t mtu = 1500;
  uint32_t queues = 1;
  bool finish_frames = false;  // Whole packets only: no super-packets, no unfilled checksums.
};

class PrivatePair {
 public:
  static bool Held(const std::string& name);
  // NAME_HELD: another process of this namespace has a pair of that name.
  static base::Result<std::unique_ptr<PrivatePair>> Open(const PrivatePairOptions& options);
  ~PrivatePair();  // Removes the pair, where this process still may.
  PrivatePair(const PrivatePair&) = delete;
  PrivatePair& operator=(const PrivatePair&) = delete;

  uint32_t steered_ifindex() const { return steered_ifindex_; }
  const std::string& port_device() const { return port_device_; }

 private:
  explicit PrivatePair(const std::string& name);
  base::Status Make(const PrivatePairOptions& options);
  base::Status Configure(const PrivatePairOptions& options);
  void Remove();

  std::string steered_device_, port_device_;
  uint32_t steered_ifindex_ = 0;
  base::UniqueFd lock_;
  std::unique_ptr<netlink::RequestSocket> netlink_;
};

}  // namespace plane
