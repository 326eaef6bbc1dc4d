// One overlay of a fabric as JavaScript holds it (src/library/fabric-binding.ts). Thread: the
// JavaScript thread of its environment. A fabric that closes takes its networks along: their
// objects then answer as closed ones.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "library/fabric.h"

namespace addon {

// Shared by a fabric's object and those of its networks.
struct FabricHandle {
  std::unique_ptr<library::Fabric> fabric;  // nullptr once closed.
};

class NetworkWrap final : public Napi::ObjectWrap<NetworkWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // The object for a network, or a NativeError.
  static Napi::Value Add(Napi::Env env, std::shared_ptr<FabricHandle> handle,
                         const Napi::Value& options);

  explicit NetworkWrap(const Napi::CallbackInfo& info);
  ~NetworkWrap() override;

 private:
  struct Made {
    std::shared_ptr<FabricHandle> handle;
    library::Network* network;
  };

  Napi::Value Apply(const Napi::CallbackInfo& info);
  void ReadCounters(const Napi::CallbackInfo& info);
  Napi::Value Inspect(const Napi::CallbackInfo& info);
  Napi::Value Fdb(const Napi::CallbackInfo& info);
  Napi::Value Decide(const Napi::CallbackInfo& info);
  Napi::Value CaptureStart(const Napi::CallbackInfo& info);
  Napi::Value CaptureRead(const Napi::CallbackInfo& info);
  void CaptureStop(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  // nullptr once it or its fabric is closed.
  library::Network* network() const { return handle_->fabric == nullptr ? nullptr : network_; }

  std::shared_ptr<FabricHandle> handle_;
  library::Network* network_ = nullptr;
};

}  // namespace addon
