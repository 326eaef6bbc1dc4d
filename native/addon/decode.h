// JavaScript values -> native structs. TypeScript has checked them (src/dataplane/dataplane.ts);
// here a wrong type is answered with an Error all the same, because a library user may call the
// binding directly.
#pragma once

#include <napi.h>

#include <span>

#include "base/result.h"
#include "engine/options.h"

namespace addon {

base::Result<engine::Options> DecodeOptions(const Napi::Value& value);

}  // namespace addon
