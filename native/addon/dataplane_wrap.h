// The native data plane as a JavaScript object: apply, readCounters, inspect, close
// (src/dataplane/binding.ts). Thread: the JavaScript thread of its environment. Workers never call
// into Node. Closing: close() explicitly; else the environment's clean-up hook; else the finalizer.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "plane/plane.h"

namespace addon {

class DataplaneWrap final : public Napi::ObjectWrap<DataplaneWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // The binding's open(options): the object, or a NativeError.
  static Napi::Value Open(const Napi::CallbackInfo& info);

  explicit DataplaneWrap(const Napi::CallbackInfo& info);
  ~DataplaneWrap() override;

 private:
  Napi::Value Apply(const Napi::CallbackInfo& info);
  void ReadCounters(const Napi::CallbackInfo& info);
  Napi::Value Inspect(const Napi::CallbackInfo& info);
  Napi::Value ReadPeers(const Napi::CallbackInfo& info);
  Napi::Value CaptureStart(const Napi::CallbackInfo& info);
  Napi::Value CaptureRead(const Napi::CallbackInfo& info);
  void CaptureStop(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void CloseNow();
  static void OnExit(void* self);

  std::unique_ptr<plane::Plane> plane_;
  bool hooked_ = false;
  napi_env env_;
};

}  // namespace addon
