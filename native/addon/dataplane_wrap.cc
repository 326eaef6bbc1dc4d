#include "addon/dataplane_wrap.h"

#include "addon/decode.h"
#include "addon/state.h"
#include "addon/status.h"
#include "base/clock.h"

namespace addon {

Napi::Function DataplaneWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeDataplane",
                     {InstanceMethod("apply", &DataplaneWrap::Apply),
                      InstanceMethod("readCounters", &DataplaneWrap::ReadCounters),
                      InstanceMethod("inspect", &DataplaneWrap::Inspect),
                      InstanceMethod("readPeers", &DataplaneWrap::ReadPeers),
                      InstanceMethod("captureStart", &DataplaneWrap::CaptureStart),
                      InstanceMethod("captureRead", &DataplaneWrap::CaptureRead),
                      InstanceMethod("captureStop", &DataplaneWrap::CaptureStop),
                      InstanceMethod("close", &DataplaneWrap::Close)});
}

Napi::Value DataplaneWrap::Open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto options = DecodeOptions(info[0]);
  if (!options.ok()) return ErrorObject(env, options.error());
  auto opened = plane::Plane::Open(*options);
  if (!opened.ok()) return ErrorObject(env, opened.error());
  std::unique_ptr<plane::Plane> plane = std::move(opened).value();
  // The constructor takes the plane over; JavaScript cannot reach it otherwise.
  return env.GetInstanceData<State>()->dataplane.New(
      {Napi::External<std::unique_ptr<plane::Plane>>::New(env, &plane)});
}

DataplaneWrap::DataplaneWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<DataplaneWrap>(info), env_(info.Env()) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    Napi::TypeError::New(info.Env(), "NativeDataplane is made by open()")
        .ThrowAsJavaScriptException();
    return;
  }
  plane_ = std::move(*info[0].As<Napi::External<std::unique_ptr<plane::Plane>>>().Data());
  hooked_ = napi_add_env_cleanup_hook(env_, &DataplaneWrap::OnExit, this) == napi_ok;
}

DataplaneWrap::~DataplaneWrap() {
  CloseNow();
  if (hooked_) napi_remove_env_cleanup_hook(env_, &DataplaneWrap::OnExit, this);
}

void DataplaneWrap::OnExit(void* self) {
  auto* wrap = static_cast<DataplaneWrap*>(self);
  wrap->hooked_ = false;
  wrap->CloseNow();
}

void DataplaneWrap::CloseNow() {
  if (plane_ != nullptr) plane_->Close();
}

Napi::Value DataplaneWrap::Apply(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return ErrorObject(env, base::Error{"BAD_TABLE", 0, "apply",
                                        "apply() takes a Uint8Array from encodePeerTable()"});
  }
  const auto table = info[0].As<Napi::Uint8Array>();
  auto status = plane_->Apply({table.Data(), table.ByteLength()});
  if (!status.ok()) return ErrorObject(env, status.error());
  return env.Null();
}

void DataplaneWrap::ReadCounters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const bool typed = info[0].IsTypedArray() &&
                     info[0].As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array;
  const size_t names = plane::Plane::CounterNames().size();
  const size_t length = typed ? info[0].As<Napi::TypedArray>().ElementLength() : 0;
  if (length != names && length != names * (1 + plane_->workers())) {
    Napi::TypeError::New(env,
                         "readCounters() takes a BigUint64Array of counterLayout.length values, or "
                         "of 1 + workers times as many")
        .ThrowAsJavaScriptException();
    return;
  }
  plane_->ReadCounters({info[0].As<Napi::BigUint64Array>().Data(), length});
}

namespace {

Napi::Object QueueObject(Napi::Env env, const port::QueueState& queue) {
  Napi::Object item = Napi::Object::New(env);
  item.Set("device", queue.device);
  item.Set("id", queue.id);
  item.Set("mode", queue.mode);
  item.Set("ringSize", queue.ring_size);
  item.Set("rxWaiting", queue.rx_waiting);
  item.Set("rxFree", queue.rx_free);
  item.Set("txWaiting", queue.tx_waiting);
  return item;
}

Napi::Object WorkerObject(Napi::Env env, const plane::WorkerInspection& worker) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("heartbeatAgeMs", worker.heartbeat_age_ms);
  object.Set("framesTotal", worker.frames_total);
  object.Set("framesFree", worker.frames_free);
  Napi::Array ports = Napi::Array::New(env, worker.ports.size());
  for (uint32_t i = 0; i < worker.ports.size(); ++i) {
    const plane::WorkerPort& port = worker.ports[i];
    Napi::Object item = Napi::Object::New(env);
    item.Set("side", port.side);
    item.Set("kind", port.kind);
    item.Set("rxKernelDrops", Napi::BigInt::New(env, port.statistics.rx_kernel_drops));
    item.Set("txPending", static_cast<double>(port.statistics.tx_pending));
    Napi::Array queues = Napi::Array::New(env, port.queues.size());
    for (uint32_t queue = 0; queue < port.queues.size(); ++queue)
      queues.Set(queue, QueueObject(env, port.queues[queue]));
    item.Set("queues", queues);
    ports.Set(i, item);
  }
  object.Set("ports", ports);
  return object;
}

}  // namespace

Napi::Value DataplaneWrap::Inspect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const plane::Inspection seen = plane_->Inspect();
  Napi::Object object = Napi::Object::New(env);
  object.Set("running", seen.running);
  object.Set("tableVersion", Napi::BigInt::New(env, seen.table_version));
  object.Set("peers", seen.peers);
  Napi::Array ports = Napi::Array::New(env, seen.ports.size());
  for (uint32_t i = 0; i < seen.ports.size(); ++i) {
    const plane::PortInspection& port = seen.ports[i];
    Napi::Object item = Napi::Object::New(env);
    item.Set("side", port.side);
    item.Set("kind", port.kind);
    item.Set("description", port.description);
    item.Set("reason", port.reason);
    item.Set("rxKernelDrops", Napi::BigInt::New(env, port.rx_kernel_drops));
    ports.Set(i, item);
  }
  object.Set("ports", ports);
  object.Set("steering", seen.steering);
  object.Set("heartbeatAgeMs", seen.heartbeat_age_ms);
  object.Set("workers", seen.workers);
  object.Set("framesTotal", static_cast<double>(seen.frames_total));
  object.Set("framesFree", static_cast<double>(seen.frames_free));
  Napi::Array workers = Napi::Array::New(env, seen.per_worker.size());
  for (uint32_t i = 0; i < seen.per_worker.size(); ++i)
    workers.Set(i, WorkerObject(env, seen.per_worker[i]));
  object.Set("perWorker", workers);
  Napi::Object path_mtu = Napi::Object::New(env);
  path_mtu.Set("listener", seen.path_mtu_listener);
  path_mtu.Set("heard", Napi::BigInt::New(env, seen.path_mtu.heard));
  path_mtu.Set("learned", Napi::BigInt::New(env, seen.path_mtu.learned));
  path_mtu.Set("pathsLowered", seen.path_mtu.paths_lowered);
  object.Set("pathMtu", path_mtu);
  return object;
}

// Seven numbers a peer (NativeDataplane.readPeers in src/dataplane/binding.ts); times as ages.
Napi::Value DataplaneWrap::ReadPeers(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peers = plane_->ReadPeers();
  Napi::Float64Array rows = Napi::Float64Array::New(env, peers.size() * 7);
  const uint64_t now = base::MonotonicNs();
  const auto age_ms = [now](uint64_t ns) {
    return ns == 0 ? -1.0 : static_cast<double>(now > ns ? now - ns : 0) / 1e6;
  };
  double* at = rows.Data();
  for (const auto& [id, sent, received] : peers) {
    *at++ = id;
    for (const auto* totals : {&sent, &received}) {
      *at++ = static_cast<double>(totals->packets);
      *at++ = static_cast<double>(totals->bytes);
      *at++ = age_ms(totals->last_ns);
    }
  }
  return rows;
}

Napi::Value DataplaneWrap::CaptureStart(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto request = DecodeCapture(info[0]);
  if (!request.ok()) return ErrorObject(env, request.error());
  auto status = plane_->CaptureStart(*request);
  if (!status.ok()) return ErrorObject(env, status.error());
  return env.Null();
}

Napi::Value DataplaneWrap::CaptureRead(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Napi::TypeError::New(env, "captureRead() takes a Uint8Array").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto into = info[0].As<Napi::Uint8Array>();
  const auto captured = plane_->CaptureRead(std::span<uint8_t>(into.Data(), into.ByteLength()));
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", captured.bytes);
  object.Set("matched", static_cast<double>(captured.matched));
  object.Set("lost", static_cast<double>(captured.lost));
  return object;
}

void DataplaneWrap::CaptureStop(const Napi::CallbackInfo&) { plane_->CaptureStop(); }

void DataplaneWrap::Close(const Napi::CallbackInfo&) { CloseNow(); }

}  // namespace addon
