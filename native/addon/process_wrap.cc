#include "addon/process_wrap.h"

#include <sys/socket.h>

#include "addon/status.h"
#include "confine/confine.h"

namespace addon {

namespace {

Napi::Value ConfineProcess(const Napi::CallbackInfo& info) {
  auto status = confine::ConfineProcess();
  if (!status.ok()) return ErrorObject(info.Env(), status.error());
  return info.Env().Null();
}

Napi::Value PeerUid(const Napi::CallbackInfo& info) {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (!info[0].IsNumber() || getsockopt(info[0].As<Napi::Number>().Int32Value(), SOL_SOCKET,
                                        SO_PEERCRED, &peer, &bytes) != 0) {
    return info.Env().Null();
  }
  return Napi::Number::New(info.Env(), peer.uid);
}

}  // namespace

void RegisterProcess(Napi::Env env, Napi::Object exports) {
  exports.Set("confineProcess", Napi::Function::New(env, ConfineProcess, "confineProcess"));
  exports.Set("peerUid", Napi::Function::New(env, PeerUid, "peerUid"));
}

}  // namespace addon
