// What JavaScript can see of native (src/dataplane/binding.ts). The only folder that includes
// napi.h.
#include <napi.h>

#include "addon/dataplane_wrap.h"
#include "addon/exchange_wrap.h"
#include "addon/fabric_wrap.h"
#include "addon/netlink_wrap.h"
#include "addon/network_wrap.h"
#include "addon/process_wrap.h"
#include "addon/state.h"
#include "addon/status.h"
#include "pkt/drop_reason.h"
#include "plane/plane.h"
#include "systemd/notify.h"

namespace {

constexpr uint32_t kBorderVersion = 6;

Napi::Array CounterLayout(Napi::Env env) {
  const std::vector<std::string>& names = plane::Plane::CounterNames();
  Napi::Array layout = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) layout.Set(i, names[i]);
  return layout;
}

Napi::Array DropReasons(Napi::Env env) {
  Napi::Array reasons = Napi::Array::New(env, pkt::kDropReasons);
  for (uint32_t i = 0; i < pkt::kDropReasons; ++i) {
    Napi::Object reason = Napi::Object::New(env);
    reason.Set("label", pkt::kDropReasonTexts[i].label);
    reason.Set("sentence", pkt::kDropReasonTexts[i].sentence);
    reasons.Set(i, reason);
  }
  return reasons;
}

// notify(socket, state): sd_notify; null or a NativeError.
Napi::Value Notify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsString() || !info[1].IsString())
    return addon::ErrorObject(env, base::Error{"BAD_OPTION", 0, "notify", "takes two strings"});
  auto status = systemd::Notify(info[0].As<Napi::String>(), info[1].As<Napi::String>());
  return status.ok() ? env.Null() : Napi::Value(addon::ErrorObject(env, status.error()));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* state = new addon::State();  // Node deletes it with the environment.
  state->dataplane = Napi::Persistent(addon::DataplaneWrap::Define(env));
  state->exchange = Napi::Persistent(addon::ExchangeWrap::Define(env));
  state->fabric = Napi::Persistent(addon::FabricWrap::Define(env));
  state->network = Napi::Persistent(addon::NetworkWrap::Define(env));
  env.SetInstanceData(state);
  exports.Set("borderVersion", kBorderVersion);
  exports.Set("counterLayout", CounterLayout(env));
  exports.Set("dropReasons", DropReasons(env));
  exports.Set("open", Napi::Function::New(env, addon::DataplaneWrap::Open, "open"));
  exports.Set("notify", Napi::Function::New(env, Notify, "notify"));
  addon::RegisterNetlink(env, exports);
  addon::ExchangeWrap::Register(env, exports);
  addon::FabricWrap::Register(env, exports);
  addon::RegisterProcess(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ripstop, Init)
