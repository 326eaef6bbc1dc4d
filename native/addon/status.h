// base::Error -> the plain object of src/dataplane/binding.ts (NativeError). JavaScript builds the
// exception.
#pragma once

#include <napi.h>

#include "base/result.h"

namespace addon {

inline Napi::Object ErrorObject(Napi::Env env, const base::Error& error) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("code", error.code);
  object.Set("errno", error.os_error);
  object.Set("op", error.op);
  object.Set("detail", error.detail);
  return object;
}

}  // namespace addon
