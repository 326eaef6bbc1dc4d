// JavaScript values -> native structs. TypeScript has checked them (src/dataplane/dataplane.ts);
// here a wrong type is answered with an Error all the same, because a library user may call the
// binding directly.
#pragma once

#include <napi.h>

#include <span>

#include "base/result.h"
#include "capture/session.h"
#include "engine/options.h"

namespace addon {

base::Result<engine::Options> DecodeOptions(const Napi::Value& value);
// { points, snapBytes, filter }; the filter is a Uint8Array of struct sock_filter.
base::Result<capture::Request> DecodeCapture(const Napi::Value& value);

}  // namespace addon
