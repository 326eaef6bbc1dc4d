#include "addon/network_wrap.h"

#include <cstdio>
#include <utility>

#include "addon/decode.h"
#include "addon/exchange_wrap.h"
#include "addon/reader.h"
#include "addon/state.h"
#include "addon/status.h"
#include "library/open_port.h"

namespace addon {

namespace {

struct Request {
  library::NetworkOptions network;
  library::PortRequest port;
  std::string name;
  uint32_t frame_bytes = 0;
  uint32_t ring_packets = 0;
  uint32_t punt_packets = 0;  // 0: nothing is punted.
  bool poison = false;
};

base::Result<Request> Decode(const Napi::Value& value) {
  if (!value.IsObject())
    return base::Error{"BAD_OPTION", 0, "addNetwork", "addNetwork() takes an options object"};
  Reader reader(value.As<Napi::Object>());
  Request request;
  fwd::Format& format = request.network.format;
  format.vni = reader.Number("vni", 0xffffff);
  format.bridged = reader.Flag("bridged");
  format.port = static_cast<uint16_t>(reader.Number("port", 0xffff));
  format.checksum_v4 = reader.Flag("checksumV4");
  format.copy_dscp = reader.Flag("copyDscp");
  format.underlay_mtu = static_cast<uint16_t>(reader.Number("underlayMtu", 0xffff));
  request.network.learns = reader.Flag("learns");
  request.network.floods = reader.Flag("floods");
  request.network.fdb_entries = reader.Number("fdbEntries", 1 << 20);
  request.network.aging_ns = uint64_t{reader.Number("agingSeconds", 1 << 30)} * 1'000'000'000ULL;
  request.port.kind = reader.Text("kind");
  request.port.device = reader.Text("device");
  request.port.mtu = reader.Number("mtu", 65535);
  request.port.ipv6 = reader.Flag("ipv6");
  request.port.super_packets = reader.Flag("superPackets");
  request.name = reader.Text("name");
  request.frame_bytes = reader.Number("frameBytes", 1 << 20);
  request.ring_packets = reader.Number("ringPackets", 1 << 16);
  request.poison = reader.Flag("poison");
  request.punt_packets = reader.Number("puntPackets", 1 << 16);
  using Punt = library::NetworkOptions::Punt;
  const bool flows = reader.Flag("puntFlows");
  request.network.punt = flows ? Punt::kUnknownFlows : Punt::kUnknownDestinations;
  if (request.punt_packets == 0) request.network.punt = Punt::kNothing;
  request.network.flow_entries = reader.Number("flowEntries", 1 << 20);
  request.network.flow_idle_ns =
      uint64_t{reader.Number("flowIdleSeconds", 1 << 30)} * 1'000'000'000ULL;
  if (request.network.flow_entries == 0) reader.Fail("flowEntries", "at least 1");
  if (request.network.fdb_entries == 0) reader.Fail("fdbEntries", "at least 1");
  if (format.port == 0) reader.Fail("port", "between 1 and 65535");
  if (!reader.failure().empty())
    return base::Error{"BAD_OPTION", 0, "addNetwork", reader.failure()};
  return request;
}

std::string MacText(uint64_t key) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&key);
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2],
                bytes[3], bytes[4], bytes[5]);
  return text;
}

}  // namespace

Napi::Function NetworkWrap::Define(Napi::Env env) {
  return DefineClass(
      env, "NativeNetwork",
      {InstanceMethod<&NetworkWrap::Apply>("apply"),
       InstanceMethod<&NetworkWrap::ReadCounters>("readCounters"),
       InstanceMethod<&NetworkWrap::Inspect>("inspect"), InstanceMethod<&NetworkWrap::Fdb>("fdb"),
       InstanceMethod<&NetworkWrap::Decide>("decide"),
       InstanceMethod<&NetworkWrap::CaptureStart>("captureStart"),
       InstanceMethod<&NetworkWrap::CaptureRead>("captureRead"),
       InstanceMethod<&NetworkWrap::CaptureStop>("captureStop"),
       InstanceMethod<&NetworkWrap::Close>("close")});
}

Napi::Value NetworkWrap::Add(Napi::Env env, std::shared_ptr<FabricHandle> handle,
                             const Napi::Value& options) {
  auto request = Decode(options);
  if (!request.ok()) return ErrorObject(env, request.error());
  library::OpenedPort own, far;
  if (request->port.kind == "memory") {
    auto pair = library::OpenMemoryPair(request->name, request->frame_bytes, request->ring_packets);
    if (!pair.ok()) return ErrorObject(env, pair.error());
    own = std::move(pair->first);
    far = std::move(pair->second);
  } else {
    auto opened = library::OpenPort(request->port);
    if (!opened.ok()) return ErrorObject(env, opened.error());
    own = std::move(opened).value();
  }
  library::OpenedPort punts, program;
  if (request->punt_packets != 0) {
    auto pair = library::OpenMemoryPair(request->name + " punts", request->frame_bytes,
                                        request->punt_packets);
    if (!pair.ok()) return ErrorObject(env, pair.error());
    punts = std::move(pair->first);
    program = std::move(pair->second);
  }
  auto added = handle->fabric->Add(request->network, std::move(own), std::move(punts));
  if (!added.ok()) return ErrorObject(env, added.error());
  Made made{std::move(handle), *added};
  Napi::Object object =
      env.GetInstanceData<State>()->network.New({Napi::External<Made>::New(env, &made)});
  for (auto [name, port] : {std::pair{"port", &far}, std::pair{"punts", &program}}) {
    object.Set(name, port->port == nullptr
                         ? env.Null()
                         : ExchangeWrap::Hand(env, std::move(*port), request->poison));
  }
  return object;
}

NetworkWrap::NetworkWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NetworkWrap>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    handle_ = std::make_shared<FabricHandle>();
    Napi::TypeError::New(info.Env(), "NativeNetwork is made by addNetwork()")
        .ThrowAsJavaScriptException();
    return;
  }
  Made* made = info[0].As<Napi::External<Made>>().Data();
  handle_ = std::move(made->handle);
  network_ = made->network;
}

// A network that was forgotten goes when it is collected; whoever wants it sooner calls close().
NetworkWrap::~NetworkWrap() {
  if (network() != nullptr) handle_->fabric->Remove(network_);
}

Napi::Value NetworkWrap::Apply(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (network() == nullptr)
    return ErrorObject(env,
                       {"OVERLAY_CLOSED", 0, "apply", "the overlay is closed; open a new one"});
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return ErrorObject(env, {"BAD_TABLE", 0, "apply", "apply() takes a Uint8Array"});
  }
  const auto table = info[0].As<Napi::Uint8Array>();
  auto status = network_->Apply({table.Data(), table.ByteLength()});
  if (!status.ok()) return ErrorObject(env, status.error());
  return env.Null();
}

void NetworkWrap::ReadCounters(const Napi::CallbackInfo& info) {
  const size_t wanted = library::Network::CounterNames().size();
  const bool typed = info[0].IsTypedArray() &&
                     info[0].As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array;
  if (!typed || info[0].As<Napi::TypedArray>().ElementLength() != wanted) {
    Napi::TypeError::New(
        info.Env(), "readCounters() takes a BigUint64Array of networkCounterLayout.length values")
        .ThrowAsJavaScriptException();
    return;
  }
  if (network() != nullptr) network_->ReadCounters(info[0].As<Napi::BigUint64Array>().Data());
}

Napi::Value NetworkWrap::Inspect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (network() == nullptr) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("tableVersion", Napi::BigInt::New(env, network_->table_version()));
  object.Set("peers", network_->peers());
  object.Set("overlayKind", network_->overlay().kind());
  object.Set("overlay", network_->overlay().description());
  object.Set("underlayKind", handle_->fabric->underlay().kind());
  object.Set("underlay", handle_->fabric->underlay().description());
  object.Set("overlayKernelDrops",
             Napi::BigInt::New(env, network_->overlay().statistics().rx_kernel_drops));
  object.Set("underlayKernelDrops",
             Napi::BigInt::New(env, handle_->fabric->underlay().statistics().rx_kernel_drops));
  object.Set("heartbeatAgeMs", handle_->fabric->heartbeat_age_ms());
  return object;
}

// Learned addresses: [mac, peer id or -1 for this side, seconds since it was seen], ...
Napi::Value NetworkWrap::Fdb(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array rows = Napi::Array::New(env);
  if (network() == nullptr) return rows;
  uint32_t count = 0;
  for (const fwd::Fdb::Entry& entry : handle_->fabric->ReadFdb(*network_)) {
    Napi::Array row = Napi::Array::New(env, 2);
    row.Set(0u, MacText(entry.mac));
    row.Set(1u, entry.node == fwd::Fdb::kHere ? -1.0 : static_cast<double>(entry.node));
    rows.Set(count++, row);
  }
  return rows;
}

// decide(frame, allow): what becomes of this frame's flow. False: no flow in it, or no room now.
Napi::Value NetworkWrap::Decide(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array || !info[1].IsBoolean()) {
    Napi::TypeError::New(env, "decide() takes a Uint8Array and a boolean")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (network() == nullptr) return Napi::Boolean::New(env, false);
  const auto frame = info[0].As<Napi::Uint8Array>();
  const auto verdict =
      info[1].As<Napi::Boolean>().Value() ? fwd::FlowVerdict::kAllow : fwd::FlowVerdict::kDeny;
  return Napi::Boolean::New(env, network_->Decide({frame.Data(), frame.ByteLength()}, verdict));
}

Napi::Value NetworkWrap::CaptureStart(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto request = DecodeCapture(info[0]);
  if (!request.ok()) return ErrorObject(env, request.error());
  if (network() == nullptr)
    return ErrorObject(
        env, {"OVERLAY_CLOSED", 0, "captureStart", "the overlay is closed; open a new one"});
  network_->tap().Start(std::make_unique<capture::Session>(std::move(request).value(), 0));
  return env.Null();
}

Napi::Value NetworkWrap::CaptureRead(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Napi::TypeError::New(env, "captureRead() takes a Uint8Array").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto into = info[0].As<Napi::Uint8Array>();
  capture::Session* session = network() != nullptr ? network_->tap().running() : nullptr;
  uint32_t bytes = 0;
  if (session != nullptr) bytes = session->Read(std::span<uint8_t>(into.Data(), into.ByteLength()));
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", bytes);
  object.Set("matched", session == nullptr ? 0.0 : static_cast<double>(session->matched()));
  object.Set("lost", session == nullptr ? 0.0 : static_cast<double>(session->lost()));
  return object;
}

void NetworkWrap::CaptureStop(const Napi::CallbackInfo&) {
  if (network() != nullptr) network_->tap().Stop();
}

void NetworkWrap::Close(const Napi::CallbackInfo&) {
  if (network() != nullptr) handle_->fabric->Remove(network_);
  network_ = nullptr;
}

}  // namespace addon
