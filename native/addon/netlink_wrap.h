// The netlink part of the addon: `netlink.openSocket(namespace)` and `netlink.openEvents(namespace,
// groups, wake)`. Requests run on libuv's worker pool and answer with promises; events wake
// JavaScript through one unref'd thread-safe function. Nothing here blocks the main thread longer
// than opening a socket does.
#pragma once

#include <napi.h>

namespace addon {

void RegisterNetlink(Napi::Env env, Napi::Object exports);

}  // namespace addon
