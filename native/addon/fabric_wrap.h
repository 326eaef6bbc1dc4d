// Overlays without a kernel device as JavaScript holds them (src/library/fabric-binding.ts):
// openFabric. Thread: the JavaScript thread of its environment; the worker never calls into Node.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/network_wrap.h"

namespace addon {

class FabricWrap final : public Napi::ObjectWrap<FabricWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // Adds openFabric, networkCounterLayout and strayCounterLayout to the exports.
  static void Register(Napi::Env env, Napi::Object exports);

  explicit FabricWrap(const Napi::CallbackInfo& info);
  ~FabricWrap() override;

 private:
  static Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value AddNetwork(const Napi::CallbackInfo& info);
  void ReadStrays(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  static void OnExit(void* self);

  std::shared_ptr<FabricHandle> handle_ = std::make_shared<FabricHandle>();
  bool hooked_ = false;
  napi_env env_;
};

}  // namespace addon
