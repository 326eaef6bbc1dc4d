// Native's composition root for Node: what JavaScript can see. The only folder that includes
// napi.h.
#include <napi.h>

#include "addon/netlink_wrap.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("borderVersion", Napi::Number::New(env, 1));
  addon::RegisterNetlink(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ripstop, Init)
