#include "addon/exchange_wrap.h"

#include <utility>

#include "addon/reader.h"
#include "addon/state.h"
#include "addon/status.h"
#include "library/open_port.h"

namespace addon {

namespace {

// Tells an ExchangeWrap of this very copy of the addon from any other object before it is
// unwrapped: a number drawn at random, and a place that no other copy in the process has.
const char kCopy = 0;
const napi_type_tag kExchangeTag = {0x6f1d0a52c94b4e37, reinterpret_cast<uintptr_t>(&kCopy)};

struct Handed {
  library::OpenedPort port;
  bool poison;
};

uint32_t NumberOr(const Napi::CallbackInfo& info, uint32_t otherwise) {
  return info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value()
                                                 : otherwise;
}

Napi::Value OpenPort(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject())
    return ErrorObject(env, {"BAD_OPTION", 0, "openPort", "openPort() takes an options object"});
  Reader reader(info[0].As<Napi::Object>());
  library::PortRequest request;
  request.kind = reader.Text("kind");
  request.device = reader.Text("device");
  request.mtu = reader.Number("mtu", 65535);
  request.ipv6 = reader.Flag("ipv6");
  request.replay = reader.Text("replay");
  request.record = reader.Text("record");
  request.address4 = reader.Text("address4");
  request.address6 = reader.Text("address6");
  request.udp_port = static_cast<uint16_t>(reader.Number("udpPort", 0xffff));
  const bool poison = reader.Flag("poison");
  if (!reader.failure().empty())
    return ErrorObject(env, {"BAD_OPTION", 0, "openPort", reader.failure()});
  auto opened = library::OpenPort(request);
  if (!opened.ok()) return ErrorObject(env, opened.error());
  return ExchangeWrap::Hand(env, std::move(opened).value(), poison);
}

Napi::Value OpenMemoryPair(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject())
    return ErrorObject(env,
                       {"BAD_OPTION", 0, "openMemoryPair", "openMemoryPair() takes an object"});
  Reader reader(info[0].As<Napi::Object>());
  const std::string name = reader.Text("name");
  const uint32_t frame_bytes = reader.Number("frameBytes", 1 << 20);
  const uint32_t ring_packets = reader.Number("ringPackets", 1 << 16);
  const bool poison = reader.Flag("poison");
  if (!reader.failure().empty())
    return ErrorObject(env, {"BAD_OPTION", 0, "openMemoryPair", reader.failure()});
  auto pair = library::OpenMemoryPair(name, frame_bytes, ring_packets);
  if (!pair.ok()) return ErrorObject(env, pair.error());
  Napi::Array ends = Napi::Array::New(env, 2);
  ends.Set(0u, ExchangeWrap::Hand(env, std::move(pair->first), poison));
  ends.Set(1u, ExchangeWrap::Hand(env, std::move(pair->second), poison));
  return ends;
}

}  // namespace

Napi::Function ExchangeWrap::Define(Napi::Env env) {
  return DefineClass(
      env, "NativePort",
      {InstanceMethod<&ExchangeWrap::Receive>("receive"),
       InstanceMethod<&ExchangeWrap::Allocate>("allocate"),
       InstanceMethod<&ExchangeWrap::Send>("send"),
       InstanceMethod<&ExchangeWrap::Release>("release"),
       InstanceMethod<&ExchangeWrap::ReadCounters>("readCounters"),
       InstanceMethod<&ExchangeWrap::Inspect>("inspect"),
       InstanceMethod<&ExchangeWrap::Wait>("wait"), InstanceMethod<&ExchangeWrap::Ref>("ref"),
       InstanceMethod<&ExchangeWrap::Close>("close")});
}

void ExchangeWrap::Register(Napi::Env env, Napi::Object exports) {
  const std::vector<std::string>& names = library::Exchange::CounterNames();
  Napi::Array layout = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) layout.Set(i, names[i]);
  exports.Set("portCounterLayout", layout);
  exports.Set("openPort", Napi::Function::New(env, OpenPort, "openPort"));
  exports.Set("openMemoryPair", Napi::Function::New(env, OpenMemoryPair, "openMemoryPair"));
}

Napi::Object ExchangeWrap::Hand(Napi::Env env, library::OpenedPort opened, bool poison) {
  Handed handed{std::move(opened), poison};
  return env.GetInstanceData<State>()->exchange.New({Napi::External<Handed>::New(env, &handed)});
}

ExchangeWrap::ExchangeWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ExchangeWrap>(info), env_(info.Env()) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsExternal()) {
    Napi::TypeError::New(env, "NativePort is made by openPort() or openMemoryPair()")
        .ThrowAsJavaScriptException();
    return;
  }
  Handed* handed = info[0].As<Napi::External<Handed>>().Data();
  exchange_ = std::make_unique<library::Exchange>(std::move(handed->port), handed->poison);
  values_.resize(library::Exchange::CounterNames().size());
  Value().TypeTag(&kExchangeTag);
  Expose(env, "arena", exchange_->arena(), exchange_->arena_bytes(), exchange_->hold_arena());
  Expose(env, "descriptors", exchange_->descriptors(),
         library::Exchange::kSlots * sizeof(library::Descriptor), exchange_->hold_descriptors());
  hooked_ = napi_add_env_cleanup_hook(env_, &ExchangeWrap::OnExit, this) == napi_ok;
}

// JavaScript may keep the buffer longer than this object; the memory stays as long as it does.
void ExchangeWrap::Expose(Napi::Env env, const char* name, void* data, size_t bytes,
                          std::shared_ptr<void> hold) {
  auto* held = new std::shared_ptr<void>(std::move(hold));
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(
      env, data, bytes,
      [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<void>*>(hint); }, held,
      &buffer);
  if (status != napi_ok) {
    delete held;  // A runtime that allows no external buffers: only the copying form is left.
    Value().Set(name, env.Null());
    return;
  }
  Value().Set(name, Napi::Value(env, buffer));
}

ExchangeWrap::~ExchangeWrap() {
  CloseNow();
  if (hooked_) napi_remove_env_cleanup_hook(env_, &ExchangeWrap::OnExit, this);
}

void ExchangeWrap::OnExit(void* self) {
  auto* wrap = static_cast<ExchangeWrap*>(self);
  wrap->hooked_ = false;
  wrap->CloseNow();
}

void ExchangeWrap::CloseNow() {
  readiness_.reset();  // Joins its thread first: nobody calls `wake_` after this line.
  if (std::exchange(waking_, false) && !ended_->load()) wake_.Release();
  exchange_.reset();
}

Napi::Value ExchangeWrap::Receive(const Napi::CallbackInfo& info) {
  if (exchange_ == nullptr) return Napi::Number::New(info.Env(), 0);
  return Napi::Number::New(info.Env(),
                           exchange_->Receive(NumberOr(info, library::Exchange::kSlots)));
}

Napi::Value ExchangeWrap::Allocate(const Napi::CallbackInfo& info) {
  if (exchange_ == nullptr) return Napi::Number::New(info.Env(), 0);
  return Napi::Number::New(info.Env(), exchange_->Allocate(NumberOr(info, 1)));
}

// Without an argument: through this port itself.
Napi::Value ExchangeWrap::Send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ExchangeWrap* to = this;
  if (info.Length() > 0 && !info[0].IsUndefined()) {
    if (!info[0].IsObject() || !info[0].As<Napi::Object>().CheckTypeTag(&kExchangeTag)) {
      Napi::TypeError::New(env, "send() takes a native port").ThrowAsJavaScriptException();
      return env.Undefined();
    }
    to = Unwrap(info[0].As<Napi::Object>());
  }
  if (exchange_ == nullptr || to->exchange_ == nullptr) return Napi::Number::New(env, 0);
  return Napi::Number::New(env, exchange_->Send(*to->exchange_));
}

void ExchangeWrap::Release(const Napi::CallbackInfo&) {
  if (exchange_ != nullptr) exchange_->Release();
}

void ExchangeWrap::ReadCounters(const Napi::CallbackInfo& info) {
  const bool typed = info[0].IsTypedArray() &&
                     info[0].As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array;
  if (!typed || info[0].As<Napi::TypedArray>().ElementLength() != values_.size()) {
    Napi::TypeError::New(info.Env(),
                         "readCounters() takes a BigUint64Array of portCounterLayout.length values")
        .ThrowAsJavaScriptException();
    return;
  }
  if (exchange_ != nullptr) exchange_->ReadCounters(info[0].As<Napi::BigUint64Array>().Data());
}

Napi::Value ExchangeWrap::Inspect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  if (exchange_ == nullptr) return env.Null();
  const port::Port& port = exchange_->port();
  object.Set("kind", port.kind());
  object.Set("description", port.description());
  object.Set("frameBytesMax", port.capabilities().frame_bytes_max);
  object.Set("rxKernelDrops", Napi::BigInt::New(env, port.statistics().rx_kernel_drops));
  object.Set("framesTotal", exchange_->frames_total());
  object.Set("framesFree", exchange_->frames_free());
  object.Set("held", exchange_->count());
  return object;
}

// wait(callback): the callback is called once when there is something to receive. The first call
// makes the thread; later ones take the same callback again.
Napi::Value ExchangeWrap::Wait(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (exchange_ == nullptr) return env.Null();
  if (readiness_ == nullptr) {
    if (!info[0].IsFunction()) {
      Napi::TypeError::New(env, "wait() takes a function").ThrowAsJavaScriptException();
      return env.Undefined();
    }
    wake_ = Napi::ThreadSafeFunction::New(env, info[0].As<Napi::Function>(), "ripstop port", 0, 1);
    wake_.Unref(env);
    waking_ = true;
    auto watched =
        library::Readiness::Watch(exchange_->port().wait_fd(), [call = wake_, ended = ended_] {
          // Once Node answers "closing" it has given up our share (see netlink_events_wrap.cc).
          if (!ended->load() && call.NonBlockingCall() == napi_closing) ended->store(true);
        });
    if (!watched.ok()) return ErrorObject(env, watched.error());
    readiness_ = std::move(watched).value();
  }
  readiness_->Arm();
  return env.Null();
}

// ref(true): what waits keeps the process alive.
void ExchangeWrap::Ref(const Napi::CallbackInfo& info) {
  if (!waking_) return;
  if (info[0].ToBoolean().Value()) {
    wake_.Ref(info.Env());
  } else {
    wake_.Unref(info.Env());
  }
}

// Views of the arena become empty: whoever kept one can neither read nor write recycled memory.
void ExchangeWrap::Close(const Napi::CallbackInfo& info) {
  CloseNow();
  for (const char* name : {"arena", "descriptors"}) {
    const Napi::Value buffer = Value().Get(name);
    if (!buffer.IsArrayBuffer()) continue;
    Napi::ArrayBuffer memory = buffer.As<Napi::ArrayBuffer>();
    if (!memory.IsDetached()) memory.Detach();
    Value().Set(name, info.Env().Null());
  }
}

}  // namespace addon
