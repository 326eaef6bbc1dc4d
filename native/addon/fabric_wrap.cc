#include "addon/fabric_wrap.h"

#include "addon/exchange_wrap.h"
#include "addon/reader.h"
#include "addon/state.h"
#include "addon/status.h"
#include "library/open_port.h"
#include "library/open_underlay.h"
#include "pkt/lane_layout.h"

namespace addon {

namespace {

Napi::Array Names(Napi::Env env, const std::vector<std::string>& names) {
  Napi::Array layout = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) layout.Set(i, names[i]);
  return layout;
}

std::vector<std::string> StrayNames() {
  std::vector<std::string> names;
  pkt::AppendLaneNames("stray", &names);
  return names;
}

}  // namespace

Napi::Function FabricWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeFabric",
                     {InstanceMethod<&FabricWrap::AddNetwork>("addNetwork"),
                      InstanceMethod<&FabricWrap::ReadStrays>("readStrays"),
                      InstanceMethod<&FabricWrap::Close>("close")});
}

void FabricWrap::Register(Napi::Env env, Napi::Object exports) {
  exports.Set("networkCounterLayout", Names(env, library::Network::CounterNames()));
  exports.Set("strayCounterLayout", Names(env, StrayNames()));
  exports.Set("openFabric", Napi::Function::New(env, FabricWrap::Open, "openFabric"));
}

Napi::Value FabricWrap::Open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject())
    return ErrorObject(env,
                       {"BAD_OPTION", 0, "openFabric", "openFabric() takes an options object"});
  Reader reader(info[0].As<Napi::Object>());
  const std::string kind = reader.Text("kind");
  library::UnderlayRequest underlay;
  underlay.kind = kind;
  underlay.address4 = reader.Text("address4");
  underlay.address6 = reader.Text("address6");
  underlay.port = static_cast<uint16_t>(reader.Number("port", 0xffff));
  underlay.device = reader.Text("device");
  underlay.mtu = reader.Number("mtu", 65535);
  const std::string name = reader.Text("name");
  const uint32_t frame_bytes = reader.Number("frameBytes", 1 << 20);
  const uint32_t ring_packets = reader.Number("ringPackets", 1 << 16);
  const bool poison = reader.Flag("poison");
  if (!reader.failure().empty())
    return ErrorObject(env, {"BAD_OPTION", 0, "openFabric", reader.failure()});
  library::OpenedPort own, far;
  if (kind == "memory") {
    auto pair = library::OpenMemoryPair(name, frame_bytes, ring_packets);
    if (!pair.ok()) return ErrorObject(env, pair.error());
    own = std::move(pair->first);
    far = std::move(pair->second);
  } else {
    auto opened = library::OpenUnderlay(underlay);
    if (!opened.ok()) return ErrorObject(env, opened.error());
    own = std::move(opened).value();
  }
  auto fabric = library::Fabric::Create(std::move(own), library::ResolvesNextHop(kind));
  if (!fabric.ok()) return ErrorObject(env, fabric.error());
  std::unique_ptr<library::Fabric> made = std::move(fabric).value();
  Napi::Object object = env.GetInstanceData<State>()->fabric.New(
      {Napi::External<std::unique_ptr<library::Fabric>>::New(env, &made)});
  object.Set("port",
             far.port == nullptr ? env.Null() : ExchangeWrap::Hand(env, std::move(far), poison));
  return object;
}

FabricWrap::FabricWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FabricWrap>(info), env_(info.Env()) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    Napi::TypeError::New(info.Env(), "NativeFabric is made by openFabric()")
        .ThrowAsJavaScriptException();
    return;
  }
  handle_->fabric =
      std::move(*info[0].As<Napi::External<std::unique_ptr<library::Fabric>>>().Data());
  hooked_ = napi_add_env_cleanup_hook(env_, &FabricWrap::OnExit, this) == napi_ok;
}

FabricWrap::~FabricWrap() {
  handle_->fabric.reset();
  if (hooked_) napi_remove_env_cleanup_hook(env_, &FabricWrap::OnExit, this);
}

void FabricWrap::OnExit(void* self) {
  auto* wrap = static_cast<FabricWrap*>(self);
  wrap->hooked_ = false;
  wrap->handle_->fabric.reset();
}

Napi::Value FabricWrap::AddNetwork(const Napi::CallbackInfo& info) {
  if (handle_->fabric == nullptr)
    return ErrorObject(
        info.Env(), {"UNDERLAY_CLOSED", 0, "addNetwork", "the underlay is closed; open a new one"});
  return NetworkWrap::Add(info.Env(), handle_, info[0]);
}

void FabricWrap::ReadStrays(const Napi::CallbackInfo& info) {
  const bool typed = info[0].IsTypedArray() &&
                     info[0].As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array;
  if (!typed || info[0].As<Napi::TypedArray>().ElementLength() != StrayNames().size()) {
    Napi::TypeError::New(info.Env(),
                         "readStrays() takes a BigUint64Array of strayCounterLayout.length values")
        .ThrowAsJavaScriptException();
    return;
  }
  if (handle_->fabric != nullptr)
    pkt::AppendLane(handle_->fabric->strays(), info[0].As<Napi::BigUint64Array>().Data());
}

void FabricWrap::Close(const Napi::CallbackInfo&) { handle_->fabric.reset(); }

}  // namespace addon
