#include "plane/xdp_ports.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/ethernet.h"
#include "port/xdp_port.h"
#include "xdp/device.h"
#include "xdp/umem.h"

namespace plane {

namespace {

// The first of a kind finds the mode; the others, which share its program, follow.
base::Status OpenAll(port::XdpOptions xdp, uint32_t workers,
                     const std::vector<std::shared_ptr<xdp::Umem>>& umems,
                     std::vector<std::unique_ptr<port::Port>>* made, bool* unfilled_checksums) {
  for (uint32_t worker = 0; worker < workers; ++worker) {
    xdp.share = {worker, workers};
    if (!umems.empty()) xdp.umem = umems[worker];
    auto opened = port::XdpPort::Open(xdp);
    if (!opened.ok()) return opened.error();
    xdp.mode = opened.value()->mode();
    *unfilled_checksums = opened.value()->unfilled_checksums();
    made->push_back(std::move(opened).value());
  }
  return base::Ok();
}

port::XdpOptions Common(const engine::Options& options) {
  port::XdpOptions xdp;
  xdp.busy_poll = options.busy_poll_us != 0;
  if (options.Disabled("xdp-native")) {
    xdp.mode = port::XdpMode::kGeneric;
  } else if (options.Disabled("xdp-zerocopy")) {
    xdp.mode = port::XdpMode::kNativeCopy;
  }
  return xdp;
}

// Queues that a worker's umem serves when both sides are AF_XDP: one on the pair, its share of the
// underlay's.
base::Result<uint32_t> QueuesOfBoth(const engine::Options& options) {
  auto underlay = xdp::QueryDevice(options.underlay_device);
  if (!underlay.ok()) return underlay.error();
  return 1 + (underlay->rx_queues + options.workers - 1) / options.workers;
}

}  // namespace

base::Status OpenOverlayXdp(const engine::Options& options, const Devices& devices,
                            const steer::Steering& steering, Ports* ports) {
  // Longer frames than a umem frame holds cannot be left to the kernel here: they would be lost.
  if (devices.overlay_mtu + net::kEthernetBytes > port::kXdpFrameMax) {
    return base::Error{"PORT_UNAVAILABLE", 0, "open",
                       "overlay port 'xdp' carries frames of up to " +
                           std::to_string(port::kXdpFrameMax) +
                           " bytes, and the overlay's MTU is " +
                           std::to_string(devices.overlay_mtu) + "; use tap or packet"};
  }
  port::XdpOptions xdp = Common(options);
  xdp.device = ports->overlay_pair->port_device();
  xdp.program_fd = steering.overlay_xdp_program();
  xdp.xskmap_fd = steering.overlay_xsks_map();
  if (options.underlay_port == "xdp") {
    auto queues = QueuesOfBoth(options);
    if (!queues.ok()) return queues.error();
    xdp.umem_queues = *queues;
    for (uint32_t worker = 0; worker < options.workers; ++worker) {
      auto umem = xdp::Umem::Create(port::XdpFramesFor(*queues, options.workers));
      if (!umem.ok()) return umem.error();
      ports->umems.push_back(std::move(umem).value());
    }
  }
  bool unfilled = false;  // The pair's other end has filled them.
  return OpenAll(std::move(xdp), options.workers, ports->umems, &ports->overlay, &unfilled);
}

base::Status OpenUnderlayXdp(const engine::Options& options, const steer::Steering& steering,
                             Ports* ports) {
  port::XdpOptions xdp = Common(options);
  xdp.device = options.underlay_device;
  xdp.program_fd = steering.xdp_program();
  xdp.xskmap_fd = steering.xsks_map();
  if (!ports->umems.empty()) {
    auto queues = QueuesOfBoth(options);
    if (!queues.ok()) return queues.error();
    xdp.umem_queues = *queues;
  }
  ports->underlay_reason = "asked for";
  return OpenAll(std::move(xdp), options.workers, ports->umems, &ports->underlay,
                 &ports->unfilled_checksums);
}

}  // namespace plane
