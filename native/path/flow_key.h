// The flow that a frame belongs to. Pure; trusts no length.
#pragma once

#include <cstdint>

#include "fwd/flow_table.h"
#include "path/parse.h"

namespace path {

// False: the frame is no frame, or says it is IP and is not. `view`: its IP header; of family 0
// when it carries something else. All fragments of two hosts and a protocol are one flow.
bool ReadFlow(const uint8_t* frame, uint32_t bytes, fwd::FlowKey* key, IpView* view);

}  // namespace path
