// AF_XDP on either side of a data plane, or on both: then the two ports of a worker share one umem,
// so that a frame goes through without a copy. The overlay's is opened first. Control thread.
#pragma once

#include "base/result.h"
#include "engine/options.h"
#include "plane/choose_ports.h"
#include "steer/steering.h"

namespace plane {

base::Status OpenOverlayXdp(const engine::Options& options, const Devices& devices,
                            const steer::Steering& steering, Ports* ports);
base::Status OpenUnderlayXdp(const engine::Options& options, const steer::Steering& steering,
                             Ports* ports);

}  // namespace plane
