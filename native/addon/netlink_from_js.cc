// JavaScript -> netlink requests. Main thread only.
#include <sys/socket.h>

#include "addon/netlink_js.h"

namespace addon {
namespace {

using netlink::IpAddress;
using netlink::IpPrefix;
using netlink::MessageBatch;
using netlink::Verb;

// Reads named fields; undefined and null mean absent. Remembers the first field that is not what it
// must be.
class Fields {
 public:
  Fields(const Napi::Object& object, std::string* problem) : object_(object), problem_(problem) {}

  std::optional<std::string> Text(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (Absent(value)) return std::nullopt;
    if (!value.IsString()) return Wrong<std::string>(name, "a string");
    return value.As<Napi::String>().Utf8Value();
  }
  std::optional<uint32_t> Number(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (Absent(value)) return std::nullopt;
    if (!value.IsNumber()) return Wrong<uint32_t>(name, "a number");
    const double number = value.As<Napi::Number>().DoubleValue();
    if (!(number >= 0 && number <= 4294967295.0))
      return Wrong<uint32_t>(name, "an unsigned 32-bit number");
    return static_cast<uint32_t>(number);
  }
  std::optional<bool> Flag(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (Absent(value)) return std::nullopt;
    if (!value.IsBoolean()) return Wrong<bool>(name, "a boolean");
    return value.As<Napi::Boolean>().Value();
  }
  std::optional<IpAddress> Ip(const char* name) const {
    return Parsed<IpAddress>(name, IpAddress::FromText, "an IP address");
  }
  std::optional<IpPrefix> Prefix(const char* name) const {
    return Parsed<IpPrefix>(name, IpPrefix::FromText, "an IP prefix");
  }
  std::optional<netlink::Mac> Mac(const char* name) const {
    return Parsed<netlink::Mac>(name, netlink::MacFromText, "a MAC address");
  }
  std::optional<Fields> Child(const char* name) const {
    const Napi::Value value = object_.Get(name);
    if (Absent(value)) return std::nullopt;
    if (!value.IsObject()) return Wrong<Fields>(name, "an object");
    return Fields(value.As<Napi::Object>(), problem_);
  }
  void Missing(const char* name) const { Wrong<bool>(name, "given"); }

 private:
  static bool Absent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }
  template <typename T>
  std::optional<T> Wrong(const char* name, const char* expected) const {
    if (problem_->empty()) *problem_ = std::string("field '") + name + "' must be " + expected;
    return std::nullopt;
  }
  template <typename T, typename Parse>
  std::optional<T> Parsed(const char* name, Parse parse, const char* expected) const {
    const auto text = Text(name);
    if (!text) return std::nullopt;
    const std::optional<T> parsed = parse(*text);
    return parsed ? parsed : Wrong<T>(name, expected);
  }

  Napi::Object object_;
  std::string* problem_;
};

uint8_t Byte(const Fields& fields, const char* name, uint8_t otherwise) {
  return static_cast<uint8_t>(fields.Number(name).value_or(otherwise));
}

template <typename T>
std::optional<T> Narrow(const std::optional<uint32_t>& number) {
  return number ? std::optional<T>(static_cast<T>(*number)) : std::nullopt;
}

netlink::Vxlan VxlanFrom(const Fields& f) {
  netlink::Vxlan vxlan;
  vxlan.vni = f.Number("vni");
  vxlan.port = Narrow<uint16_t>(f.Number("port"));
  vxlan.local = f.Ip("local");
  vxlan.group = f.Ip("group");
  vxlan.lower_index = f.Number("lowerIndex");
  vxlan.ttl = Narrow<uint8_t>(f.Number("ttl"));
  vxlan.tos = Narrow<uint8_t>(f.Number("tos"));
  vxlan.learning = f.Flag("learning");
  vxlan.proxy = f.Flag("proxy");
  vxlan.rsc = f.Flag("rsc");
  vxlan.l2miss = f.Flag("l2miss");
  vxlan.l3miss = f.Flag("l3miss");
  vxlan.udp_checksum = f.Flag("udpChecksum");
  vxlan.udp6_zero_checksum_tx = f.Flag("udp6ZeroChecksumTx");
  vxlan.udp6_zero_checksum_rx = f.Flag("udp6ZeroChecksumRx");
  vxlan.gbp = f.Flag("gbp").value_or(false);
  return vxlan;
}

void EncodeLink(const Fields& f, Verb verb, MessageBatch& batch) {
  netlink::Link link;
  link.index = static_cast<int32_t>(f.Number("index").value_or(0));
  link.name = f.Text("name").value_or("");
  link.kind = f.Text("kind").value_or("");
  link.mac = f.Mac("mac");
  link.mtu = f.Number("mtu");
  link.master_index = f.Number("masterIndex");
  link.up = f.Flag("up");
  if (const auto vxlan = f.Child("vxlan")) link.vxlan = VxlanFrom(*vxlan);
  if (const auto tunnel = f.Child("ipTunnel"))
    link.ip_tunnel = netlink::IpTunnel{tunnel->Ip("local"), tunnel->Ip("remote")};
  if (link.index == 0 && link.name.empty()) f.Missing("name");
  Encode(batch, verb, link);
}

void EncodeAddress(const Fields& f, Verb verb, MessageBatch& batch) {
  netlink::Address address;
  address.link_index = static_cast<int32_t>(f.Number("linkIndex").value_or(0));
  if (const auto prefix = f.Prefix("prefix")) address.prefix = *prefix;
  address.local = f.Ip("local");
  address.scope = Byte(f, "scope", 0);
  address.flags = f.Number("flags").value_or(0);
  if (address.prefix.address.family == 0) f.Missing("prefix");
  if (address.link_index == 0) f.Missing("linkIndex");
  Encode(batch, verb, address);
}

void EncodeRoute(const Fields& f, Verb verb, MessageBatch& batch) {
  netlink::Route route;
  if (const auto destination = f.Prefix("destination")) route.destination = *destination;
  route.gateway = f.Ip("gateway");
  route.link_index = f.Number("linkIndex");
  route.preferred_source = f.Ip("preferredSource");
  route.priority = f.Number("priority");
  route.mtu = f.Number("mtu");
  route.table = f.Number("table").value_or(254);
  route.protocol = Byte(f, "protocol", 0);
  route.scope = Byte(f, "scope", 0);
  route.type = Byte(f, "type", 1);
  route.onlink = f.Flag("onlink").value_or(false);
  if (route.destination.address.family == 0) f.Missing("destination");
  Encode(batch, verb, route);
}

void EncodeNeighbor(const Fields& f, Verb verb, MessageBatch& batch, bool fdb) {
  netlink::Neighbor neighbor;
  neighbor.fdb = fdb;
  neighbor.link_index = static_cast<int32_t>(f.Number("linkIndex").value_or(0));
  neighbor.address = f.Ip("address");
  neighbor.mac = f.Mac("mac");
  neighbor.state = static_cast<uint16_t>(f.Number("state").value_or(0));
  neighbor.flags = Byte(f, "flags", 0);
  neighbor.ext_flags = f.Number("extFlags").value_or(0);
  neighbor.protocol = Narrow<uint8_t>(f.Number("protocol"));
  if (neighbor.link_index == 0) f.Missing("linkIndex");
  if (fdb ? !neighbor.mac : !neighbor.address) f.Missing(fdb ? "mac" : "address");
  Encode(batch, verb, neighbor);
}

void EncodeRule(const Fields& f, Verb verb, MessageBatch& batch) {
  netlink::Rule rule;
  rule.family = f.Number("family").value_or(4) == 6 ? AF_INET6 : AF_INET;
  rule.source = f.Prefix("source");
  rule.destination = f.Prefix("destination");
  rule.priority = f.Number("priority");
  rule.mark = f.Number("mark");
  rule.mask = f.Number("mask");
  rule.table = f.Number("table").value_or(254);
  rule.action = Byte(f, "action", 1);
  rule.protocol = Byte(f, "protocol", 0);
  Encode(batch, verb, rule);
}

std::optional<Verb> VerbFrom(const std::string& text) {
  if (text == "add") return Verb::kAdd;
  if (text == "replace") return Verb::kReplace;
  if (text == "change") return Verb::kChange;
  if (text == "delete") return Verb::kDelete;
  return std::nullopt;
}

std::optional<netlink::Kind> KindFrom(const std::string& text) {
  if (text == "link") return netlink::Kind::kLink;
  if (text == "address") return netlink::Kind::kAddress;
  if (text == "route") return netlink::Kind::kRoute;
  if (text == "neighbor") return netlink::Kind::kNeighbor;
  if (text == "fdb") return netlink::Kind::kFdb;
  if (text == "rule") return netlink::Kind::kRule;
  return std::nullopt;
}

}  // namespace

bool AppendRequest(const Napi::Object& request, MessageBatch& batch, std::string* problem) {
  const Fields fields(request, problem);
  const auto verb = VerbFrom(fields.Text("verb").value_or(""));
  const auto kind = KindFrom(fields.Text("object").value_or(""));
  if (!verb) fields.Missing("verb");
  if (!kind) fields.Missing("object");
  if (!problem->empty()) return false;
  switch (*kind) {
    case netlink::Kind::kLink:
      EncodeLink(fields, *verb, batch);
      break;
    case netlink::Kind::kAddress:
      EncodeAddress(fields, *verb, batch);
      break;
    case netlink::Kind::kRoute:
      EncodeRoute(fields, *verb, batch);
      break;
    case netlink::Kind::kNeighbor:
    case netlink::Kind::kFdb:
      EncodeNeighbor(fields, *verb, batch, *kind == netlink::Kind::kFdb);
      break;
    case netlink::Kind::kRule:
      EncodeRule(fields, *verb, batch);
      break;
  }
  return problem->empty();
}

bool AppendQuery(const Napi::Object& query, MessageBatch& batch, std::string* problem) {
  const Fields f(query, problem);
  const std::string get = f.Text("get").value_or("");
  const auto address = f.Ip("address");
  if (get == "route" || get == "neighbor") {
    if (!address) f.Missing("address");
    if (!problem->empty()) return false;
    if (get == "route")
      EncodeRouteGet(batch, *address, f.Number("mark").value_or(0));
    else
      EncodeNeighborGet(batch, *address, f.Number("linkIndex").value_or(0));
    return true;
  }
  if (get == "link") {
    EncodeLinkGet(batch, f.Text("name").value_or(""));
    return problem->empty();
  }
  const auto kind = KindFrom(f.Text("dump").value_or(""));
  if (!kind) f.Missing("dump");
  const uint32_t family = f.Number("family").value_or(0);
  netlink::Query dump{.kind = kind.value_or(netlink::Kind::kLink),
                      .family = static_cast<uint8_t>(family == 4   ? AF_INET
                                                     : family == 6 ? AF_INET6
                                                                   : AF_UNSPEC),
                      .link_index = f.Number("linkIndex").value_or(0),
                      .table = f.Number("table").value_or(0),
                      .protocol = Byte(f, "protocol", 0)};
  if (!problem->empty()) return false;
  EncodeDump(batch, dump);
  return true;
}

}  // namespace addon
