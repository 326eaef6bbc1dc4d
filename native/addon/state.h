// What one Node environment (main thread or worker_threads) holds: class constructors. Never a
// global, so that several environments can load the addon.
#pragma once

#include <napi.h>

namespace addon {

struct State {
  Napi::FunctionReference dataplane;
  Napi::FunctionReference exchange;
  Napi::FunctionReference fabric;
  Napi::FunctionReference network;
};

}  // namespace addon
