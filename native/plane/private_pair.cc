#include "plane/private_pair.h"

#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <variant>

#include "netlink/request_socket.h"
#include "port/net_device.h"

namespace plane {

namespace {

std::string SteeredDevice(const std::string& name) { return "rsp." + name; }

// Abstract: it lives in the network namespace, as devices do, and ends with its descriptor.
base::Result<base::UniqueFd> Hold(const std::string& device) {
  base::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "ripstop/" + device;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (fd.valid() && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), bytes) == 0)
    return fd;
  const bool held = errno == EADDRINUSE;
  return base::SystemError(
      held ? "NAME_HELD" : "DEVICE_SOCKET_FAILED", "bind(@" + name + ")",
      held ? "another data plane has this pair of devices" : "needed to make " + device);
}

}  // namespace

PrivatePair::PrivatePair(const std::string& name)
    : steered_device_(SteeredDevice(name)), port_device_("rsq." + name) {}

PrivatePair::~PrivatePair() {
  if (netlink_ != nullptr) Remove();
}

base::Result<std::unique_ptr<PrivatePair>> PrivatePair::Open(const PrivatePairOptions& options) {
  std::unique_ptr<PrivatePair> pair(new PrivatePair(options.name));
  auto lock = Hold(pair->steered_device_);
  if (!lock.ok()) return lock.error();
  pair->lock_ = std::move(lock).value();
  auto socket = netlink::RequestSocket::Open("");
  if (!socket.ok()) return socket.error();
  pair->netlink_ = std::move(socket).value();
  if (auto status = pair->Make(options); !status.ok()) return status.error();
  if (auto status = pair->Configure(options); !status.ok()) return status.error();
  return pair;
}

bool PrivatePair::Held(const std::string& name) {
  const auto lock = Hold(SteeredDevice(name));
  return !lock.ok() && lock.error().code == "NAME_HELD";
}

// Only a veth: any other device of that name is somebody else's.
void PrivatePair::Remove() {
  netlink::MessageBatch question;
  netlink::EncodeLinkGet(question, steered_device_);
  auto found = netlink_->Read(question);
  if (!found.ok() || found->empty()) return;
  const auto* link = std::get_if<netlink::Link>(&found->front());
  if (link == nullptr || link->kind != "veth") return;
  netlink::MessageBatch batch;
  netlink::Link gone;
  gone.index = link->index;
  netlink::Encode(batch, netlink::Verb::kDelete, gone);
  (void)netlink_->Apply(batch);
}

base::Status PrivatePair::Make(const PrivatePairOptions& options) {
  Remove();  // Of a process that is gone: its name was free.
  netlink::Link link;
  link.name = steered_device_;
  link.kind = "veth";
  link.mtu = options.mtu;
  link.veth = netlink::Veth{port_device_, options.mtu, options.queues};
  if (options.finish_frames) link.gso_segments_max = 1;
  netlink::MessageBatch batch;
  netlink::Encode(batch, netlink::Verb::kAdd, link);
  auto outcomes = netlink_->Apply(batch);
  if (!outcomes.ok()) return outcomes.error();
  const netlink::Outcome& outcome = outcomes->front();
  if (outcome.os_error == 0) return base::Ok();
  const char* remedy = "the kernel needs veth (modprobe veth), the process CAP_NET_ADMIN";
  return base::Error{"DEVICE_CONFIGURE_FAILED", outcome.os_error,
                     "RTM_NEWLINK(veth " + steered_device_ + ")",
                     outcome.message.empty() ? remedy : outcome.message + "; " + remedy};
}

base::Status PrivatePair::Configure(const PrivatePairOptions& options) {
  for (const std::string& name : {steered_device_, port_device_}) {
    port::NetDevice device(name);
    if (auto status = device.DisableIpv6(); !status.ok()) return status;
    if (auto status = options.finish_frames ? device.FillChecksums() : base::Ok(); !status.ok())
      return status;
    if (auto status = device.SetUp(); !status.ok()) return status;
  }
  steered_ifindex_ = if_nametoindex(steered_device_.c_str());
  return base::Ok();
}

}  // namespace plane
