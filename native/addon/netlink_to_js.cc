// Netlink answers and notices -> JavaScript objects. Main thread only. Absent values are null, so
// every object of a kind has the same shape.
#include <sys/socket.h>

#include "addon/netlink_js.h"

namespace addon {
namespace {

// Sets fields by type, so that the conversions below read as a list of fields.
class Builder {
 public:
  Builder(Napi::Env env, const char* kind) : env_(env), object_(Napi::Object::New(env)) {
    if (kind != nullptr) object_.Set("object", kind);
  }
  Builder& Set(const char* name, const std::string& text) {
    return Put(name, Napi::String::New(env_, text));
  }
  Builder& Set(const char* name, bool flag) { return Put(name, Napi::Boolean::New(env_, flag)); }
  Builder& Set(const char* name, uint32_t number) {
    return Put(name, Napi::Number::New(env_, number));
  }
  Builder& Set(const char* name, int32_t number) {
    return Put(name, Napi::Number::New(env_, number));
  }
  Builder& Set(const char* name, uint8_t number) { return Set(name, uint32_t{number}); }
  Builder& Set(const char* name, uint16_t number) { return Set(name, uint32_t{number}); }
  Builder& Set(const char* name, const netlink::IpAddress& address) {
    return Set(name, address.ToText());
  }
  Builder& Set(const char* name, const netlink::IpPrefix& prefix) {
    return Set(name, prefix.ToText());
  }
  Builder& Set(const char* name, const netlink::Mac& mac) {
    return Set(name, netlink::MacToText(mac));
  }
  template <typename T>
  Builder& Set(const char* name, const std::optional<T>& value) {
    return value ? Set(name, *value) : Put(name, env_.Null());
  }
  Builder& Put(const char* name, const Napi::Value& value) {
    object_.Set(name, value);
    return *this;
  }
  Napi::Object object() const { return object_; }

 private:
  Napi::Env env_;
  Napi::Object object_;
};

uint32_t FamilyNumber(uint8_t family) { return family == AF_INET6 ? 6 : 4; }

Napi::Value VxlanToJs(Napi::Env env, const netlink::Vxlan& vxlan) {
  return Builder(env, nullptr)
      .Set("vni", vxlan.vni)
      .Set("port", vxlan.port)
      .Set("local", vxlan.local)
      .Set("group", vxlan.group)
      .Set("lowerIndex", vxlan.lower_index)
      .Set("ttl", vxlan.ttl)
      .Set("tos", vxlan.tos)
      .Set("learning", vxlan.learning)
      .Set("proxy", vxlan.proxy)
      .Set("rsc", vxlan.rsc)
      .Set("l2miss", vxlan.l2miss)
      .Set("l3miss", vxlan.l3miss)
      .Set("udpChecksum", vxlan.udp_checksum)
      .Set("udp6ZeroChecksumTx", vxlan.udp6_zero_checksum_tx)
      .Set("udp6ZeroChecksumRx", vxlan.udp6_zero_checksum_rx)
      .Set("gbp", vxlan.gbp)
      .object();
}

Napi::Value TunnelToJs(Napi::Env env, const netlink::IpTunnel& tunnel) {
  return Builder(env, nullptr).Set("local", tunnel.local).Set("remote", tunnel.remote).object();
}

Napi::Object Convert(Napi::Env env, const netlink::Link& link) {
  return Builder(env, "link")
      .Set("index", link.index)
      .Set("name", link.name)
      .Set("kind", link.kind)
      .Set("mac", link.mac)
      .Set("mtu", link.mtu.value_or(0))
      .Set("masterIndex", link.master_index)
      .Set("lowerIndex", link.lower_index)
      .Set("up", link.up.value_or(false))
      .Set("carrier", link.carrier.value_or(false))
      .Set("flags", link.flags)
      .Put("vxlan", link.vxlan ? VxlanToJs(env, *link.vxlan) : env.Null())
      .Put("ipTunnel", link.ip_tunnel ? TunnelToJs(env, *link.ip_tunnel) : env.Null())
      .object();
}

Napi::Object Convert(Napi::Env env, const netlink::Address& address) {
  return Builder(env, "address")
      .Set("linkIndex", address.link_index)
      .Set("prefix", address.prefix)
      .Set("local", address.local)
      .Set("scope", address.scope)
      .Set("flags", address.flags)
      .object();
}

Napi::Object Convert(Napi::Env env, const netlink::Route& route) {
  Napi::Array hops = Napi::Array::New(env, route.next_hops.size());
  for (uint32_t i = 0; i < route.next_hops.size(); ++i) {
    const netlink::NextHop& hop = route.next_hops[i];
    hops.Set(i, Builder(env, nullptr)
                    .Set("gateway", hop.gateway)
                    .Set("linkIndex", hop.link_index)
                    .Set("onlink", hop.onlink)
                    .object());
  }
  return Builder(env, "route")
      .Set("destination", route.destination)
      .Set("gateway", route.gateway)
      .Set("linkIndex", route.link_index)
      .Set("preferredSource", route.preferred_source)
      .Set("priority", route.priority)
      .Set("mtu", route.mtu)
      .Set("table", route.table)
      .Set("protocol", route.protocol)
      .Set("scope", route.scope)
      .Set("type", route.type)
      .Set("onlink", route.onlink)
      .Put("nextHops", hops)
      .object();
}

Napi::Object Convert(Napi::Env env, const netlink::Neighbor& neighbor) {
  return Builder(env, neighbor.fdb ? "fdb" : "neighbor")
      .Set("linkIndex", neighbor.link_index)
      .Set("address", neighbor.address)
      .Set("mac", neighbor.mac)
      .Set("state", neighbor.state)
      .Set("flags", neighbor.flags)
      .Set("extFlags", neighbor.ext_flags)
      .Set("protocol", neighbor.protocol)
      .object();
}

Napi::Object Convert(Napi::Env env, const netlink::Rule& rule) {
  return Builder(env, "rule")
      .Set("family", FamilyNumber(rule.family))
      .Set("source", rule.source)
      .Set("destination", rule.destination)
      .Set("priority", rule.priority)
      .Set("mark", rule.mark)
      .Set("mask", rule.mask)
      .Set("table", rule.table)
      .Set("action", rule.action)
      .Set("protocol", rule.protocol)
      .object();
}

}  // namespace

Napi::Object ToJs(Napi::Env env, const netlink::Object& object) {
  return std::visit([env](const auto& value) { return Convert(env, value); }, object);
}

Napi::Object ToJs(Napi::Env env, const base::Error& error) {
  return Builder(env, nullptr)
      .Set("code", error.code)
      .Set("errno", static_cast<int32_t>(error.os_error))
      .Set("op", error.op)
      .Set("detail", error.detail)
      .object();
}

}  // namespace addon
