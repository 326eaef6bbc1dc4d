#include "addon/netlink_wrap.h"

#include <memory>
#include <utility>

#include "addon/netlink_events_wrap.h"
#include "addon/netlink_js.h"
#include "netlink/namespace.h"
#include "netlink/request_socket.h"

namespace addon {
namespace {

using netlink::MessageBatch;
using netlink::RequestSocket;

// One call on the worker pool. Holds the socket, so closing it early only drops one owner.
class Call : public Napi::AsyncWorker {
 public:
  Call(Napi::Env env, std::shared_ptr<RequestSocket> socket)
      : Napi::AsyncWorker(env),
        socket_(std::move(socket)),
        deferred_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  // Environment errors are answers (base::Error as an object), not rejections: TypeScript builds
  // the JS error.
  virtual Napi::Value Answer(Napi::Env env) = 0;
  void OnOK() override { deferred_.Resolve(Answer(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  std::shared_ptr<RequestSocket> socket_;

 private:
  Napi::Promise::Deferred deferred_;
};

class ApplyCall : public Call {
 public:
  ApplyCall(Napi::Env env, std::shared_ptr<RequestSocket> socket, MessageBatch batch)
      : Call(env, std::move(socket)), batch_(std::move(batch)) {}
  void Execute() override { outcomes_.emplace(socket_->Apply(batch_)); }
  Napi::Value Answer(Napi::Env env) override {
    if (!outcomes_->ok()) return ToJs(env, outcomes_->error());
    // Only failures cross: [index, errno, text, index, errno, text, ...].
    Napi::Array failures = Napi::Array::New(env);
    uint32_t at = 0;
    const auto& outcomes = outcomes_->value();
    for (uint32_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i].os_error == 0) continue;
      failures.Set(at++, Napi::Number::New(env, i));
      failures.Set(at++, Napi::Number::New(env, outcomes[i].os_error));
      failures.Set(at++, Napi::String::New(env, outcomes[i].message));
    }
    return failures;
  }

 private:
  MessageBatch batch_;
  std::optional<base::Result<std::vector<netlink::Outcome>>> outcomes_;
};

class ReadCall : public Call {
 public:
  ReadCall(Napi::Env env, std::shared_ptr<RequestSocket> socket, MessageBatch query)
      : Call(env, std::move(socket)), query_(std::move(query)) {}
  void Execute() override { objects_.emplace(socket_->Read(query_)); }
  Napi::Value Answer(Napi::Env env) override {
    if (!objects_->ok()) return ToJs(env, objects_->error());
    const auto& objects = objects_->value();
    Napi::Array list = Napi::Array::New(env, objects.size());
    for (uint32_t i = 0; i < objects.size(); ++i) {
      const Napi::HandleScope scope(env);
      list.Set(i, ToJs(env, objects[i]));
    }
    return list;
  }

 private:
  MessageBatch query_;
  std::optional<base::Result<std::vector<netlink::Object>>> objects_;
};

class SysctlCall : public Call {
 public:
  SysctlCall(Napi::Env env, std::string path, std::string name, std::string value)
      : Call(env, nullptr),
        path_(std::move(path)),
        name_(std::move(name)),
        value_(std::move(value)) {}
  void Execute() override { status_ = netlink::WriteSysctl(path_, name_, value_); }
  Napi::Value Answer(Napi::Env env) override {
    return status_.ok() ? env.Null() : Napi::Value(ToJs(env, status_.error()));
  }

 private:
  std::string path_;
  std::string name_;
  std::string value_;
  base::Status status_ = base::Ok();
};

Napi::Value Start(Call* call) {
  const Napi::Promise promise = call->promise();
  call->Queue();  // Deletes itself when done.
  return promise;
}

Napi::Value WrongArgument(Napi::Env env, const std::string& problem) {
  Napi::TypeError::New(env, "netlink: " + problem).ThrowAsJavaScriptException();
  return env.Undefined();
}

class SocketWrap : public Napi::ObjectWrap<SocketWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "NetlinkSocket",
        {InstanceMethod<&SocketWrap::Apply>("apply"), InstanceMethod<&SocketWrap::Read>("read"),
         InstanceMethod<&SocketWrap::WriteSysctl>("writeSysctl"),
         InstanceMethod<&SocketWrap::Close>("close")});
  }
  explicit SocketWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketWrap>(info) {}
  void Adopt(std::shared_ptr<RequestSocket> socket, std::string path) {
    socket_ = std::move(socket);
    path_ = std::move(path);
  }

 private:
  Napi::Value Apply(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!socket_) return WrongArgument(env, "the socket is closed");
    if (info.Length() < 1 || !info[0].IsArray())
      return WrongArgument(env, "apply() takes an array of requests");
    const auto requests = info[0].As<Napi::Array>();
    MessageBatch batch;
    std::string problem;
    for (uint32_t i = 0; i < requests.Length(); ++i) {
      const Napi::HandleScope scope(env);
      const Napi::Value request = requests.Get(i);
      if (!request.IsObject() || !AppendRequest(request.As<Napi::Object>(), batch, &problem)) {
        return WrongArgument(env, "request " + std::to_string(i) + ": " +
                                      (problem.empty() ? "not an object" : problem));
      }
    }
    return Start(new ApplyCall(env, socket_, std::move(batch)));
  }

  Napi::Value Read(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!socket_) return WrongArgument(env, "the socket is closed");
    if (info.Length() < 1 || !info[0].IsObject()) return WrongArgument(env, "read() takes a query");
    MessageBatch query;
    std::string problem;
    if (!AppendQuery(info[0].As<Napi::Object>(), query, &problem))
      return WrongArgument(env, "query: " + problem);
    return Start(new ReadCall(env, socket_, std::move(query)));
  }

  Napi::Value WriteSysctl(const Napi::CallbackInfo& info) {
    if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
      return WrongArgument(info.Env(), "writeSysctl() takes a name and a value");
    }
    return Start(
        new SysctlCall(info.Env(), path_, info[0].As<Napi::String>(), info[1].As<Napi::String>()));
  }

  void Close(const Napi::CallbackInfo&) { socket_.reset(); }

  std::shared_ptr<RequestSocket> socket_;
  std::string path_;
};

}  // namespace

void RegisterNetlink(Napi::Env env, Napi::Object exports) {
  Napi::Object part = Napi::Object::New(env);
  // The constructor lives as long as the function that uses it: bound as a property, never in a
  // global.
  auto constructor =
      std::make_shared<Napi::FunctionReference>(Napi::Persistent(SocketWrap::Define(env)));
  part.Set("openSocket",
           Napi::Function::New(env, [constructor](const Napi::CallbackInfo& info) -> Napi::Value {
             if (info.Length() < 1 || !info[0].IsString())
               return WrongArgument(info.Env(), "openSocket() takes a namespace path");
             const std::string path = info[0].As<Napi::String>();
             auto socket = RequestSocket::Open(path);
             if (!socket.ok()) return ToJs(info.Env(), socket.error());
             const Napi::Object wrapped = constructor->New({});
             SocketWrap::Unwrap(wrapped)->Adopt(std::move(socket).value(), path);
             return wrapped;
           }));
  RegisterNetlinkEvents(env, part);
  exports.Set("netlink", part);
}

}  // namespace addon
