// netlink.openEvents(namespace, groups, wake): `wake` is called once when something waits; `take()`
// hands over all of it. The thread-safe function is unref'd (events never keep a process alive) and
// released before close() returns.
#include "addon/netlink_events_wrap.h"

#include <linux/rtnetlink.h>

#include <atomic>
#include <memory>
#include <utility>

#include "addon/netlink_js.h"
#include "netlink/event_socket.h"

namespace addon {
namespace {

using netlink::EventSocket;

bool AppendGroups(const std::string& name, std::vector<uint32_t>& groups) {
  if (name == "link")
    groups.push_back(RTNLGRP_LINK);
  else if (name == "address")
    groups.insert(groups.end(), {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR});
  else if (name == "route")
    groups.insert(groups.end(), {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE});
  else if (name == "neighbor")
    groups.push_back(RTNLGRP_NEIGH);
  else if (name == "rule")
    groups.insert(groups.end(), {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE});
  else
    return false;
  return true;
}

// By hand: at the end of an environment JavaScript cannot run any more, and node-addon-api would
// end the whole process over the call that fails. Nobody waits for the news then.
void CallWake(Napi::Env env, Napi::Function wake, void* /*context*/, void* /*data*/) {
  napi_value global = nullptr;
  napi_value result = nullptr;
  if (env == nullptr || wake.IsEmpty() || napi_get_global(env, &global) != napi_ok) return;
  napi_call_function(env, global, wake, 0, nullptr, &result);
}
using Wake = Napi::TypedThreadSafeFunction<void, void, CallWake>;

class EventsWrap : public Napi::ObjectWrap<EventsWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "NetlinkEvents",
        {InstanceMethod<&EventsWrap::Take>("take"), InstanceMethod<&EventsWrap::Close>("close")});
  }
  explicit EventsWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EventsWrap>(info) {}
  ~EventsWrap() override { Stop(); }

  // An error, or nothing when the stream runs.
  std::optional<base::Error> Begin(Napi::Env env, const std::string& path,
                                   std::span<const uint32_t> groups, const Napi::Function& wake) {
    wake_ = Wake::New(env, wake, "ripstop netlink events", 1, 1);
    wake_.Unref(env);
    running_ = true;
    auto socket = EventSocket::Open(path, groups, [call = wake_, ended = ended_] {
      // Once Node answers "closing" it has given up our share; neither calling nor releasing is
      // allowed after that.
      if (!ended->load() && call.NonBlockingCall() == napi_closing) ended->store(true);
    });
    if (!socket.ok()) {
      Stop();
      return socket.error();
    }
    socket_ = std::move(socket).value();
    return std::nullopt;
  }

 private:
  Napi::Value Take(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const netlink::Gathered gathered = socket_ ? socket_->Take() : netlink::Gathered{};
    Napi::Array notices = Napi::Array::New(env, gathered.notices.size());
    for (uint32_t i = 0; i < gathered.notices.size(); ++i) {
      const Napi::HandleScope scope(env);
      Napi::Object object = ToJs(env, gathered.notices[i].object);
      object.Set("deleted", gathered.notices[i].deleted);
      notices.Set(i, object);
    }
    Napi::Object taken = Napi::Object::New(env);
    taken.Set("notices", notices);
    taken.Set("overrun", gathered.overrun);
    taken.Set("errno", gathered.os_error);
    return taken;
  }

  void Close(const Napi::CallbackInfo&) { Stop(); }

  void Stop() {
    socket_.reset();  // Joins the thread first: nobody calls `wake_` after this line.
    if (std::exchange(running_, false) && !ended_->load()) wake_.Release();
  }

  Wake wake_;
  std::unique_ptr<EventSocket> socket_;
  std::shared_ptr<std::atomic<bool>> ended_ = std::make_shared<std::atomic<bool>>(false);
  bool running_ = false;
};

Napi::Value WrongArgument(Napi::Env env, const std::string& problem) {
  Napi::TypeError::New(env, "netlink: " + problem).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace

void RegisterNetlinkEvents(Napi::Env env, Napi::Object part) {
  auto constructor =
      std::make_shared<Napi::FunctionReference>(Napi::Persistent(EventsWrap::Define(env)));
  part.Set("openEvents",
           Napi::Function::New(env, [constructor](const Napi::CallbackInfo& info) -> Napi::Value {
             const Napi::Env env = info.Env();
             if (info.Length() < 3 || !info[0].IsString() || !info[1].IsArray() ||
                 !info[2].IsFunction()) {
               return WrongArgument(
                   env, "openEvents() takes a namespace path, group names and a function");
             }
             std::vector<uint32_t> groups;
             const auto names = info[1].As<Napi::Array>();
             for (uint32_t i = 0; i < names.Length(); ++i) {
               const Napi::Value name = names.Get(i);
               if (!name.IsString() || !AppendGroups(name.As<Napi::String>(), groups)) {
                 return WrongArgument(env, "groups are link, address, route, neighbor and rule");
               }
             }
             const Napi::Object wrapped = constructor->New({});
             const auto error = EventsWrap::Unwrap(wrapped)->Begin(
                 env, info[0].As<Napi::String>(), groups, info[2].As<Napi::Function>());
             return error ? ToJs(env, *error) : wrapped;
           }));
}

}  // namespace addon
