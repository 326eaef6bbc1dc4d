// The event half of the addon's netlink part; see netlink_wrap.h.
#pragma once

#include <napi.h>

namespace addon {

void RegisterNetlinkEvents(Napi::Env env, Napi::Object part);

}  // namespace addon
