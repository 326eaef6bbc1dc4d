// A port as JavaScript holds it (src/library/port-binding.ts): openPort, openMemoryPair. Thread:
// the JavaScript thread of its environment; the waiting thread calls back through a thread-safe
// function only.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <vector>

#include "library/exchange.h"
#include "library/readiness.h"

namespace addon {

class ExchangeWrap final : public Napi::ObjectWrap<ExchangeWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // Adds openPort, openMemoryPair and portCounterLayout to the exports.
  static void Register(Napi::Env env, Napi::Object exports);
  // The object for an opened port.
  static Napi::Object Hand(Napi::Env env, library::OpenedPort opened, bool poison);

  explicit ExchangeWrap(const Napi::CallbackInfo& info);
  ~ExchangeWrap() override;

 private:
  Napi::Value Receive(const Napi::CallbackInfo& info);
  Napi::Value Allocate(const Napi::CallbackInfo& info);
  Napi::Value Send(const Napi::CallbackInfo& info);
  void Release(const Napi::CallbackInfo& info);
  void ReadCounters(const Napi::CallbackInfo& info);
  Napi::Value Inspect(const Napi::CallbackInfo& info);
  Napi::Value Wait(const Napi::CallbackInfo& info);
  void Ref(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  void Expose(Napi::Env env, const char* name, void* data, size_t bytes,
              std::shared_ptr<void> hold);
  void CloseNow();
  static void OnExit(void* self);

  std::unique_ptr<library::Exchange> exchange_;
  std::unique_ptr<library::Readiness> readiness_;
  Napi::ThreadSafeFunction wake_;
  std::shared_ptr<std::atomic<bool>> ended_ = std::make_shared<std::atomic<bool>>(false);
  bool waking_ = false;
  bool hooked_ = false;
  napi_env env_;
  std::vector<uint64_t> values_;
};

}  // namespace addon
