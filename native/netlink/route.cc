// Routes: RTM_NEWROUTE / RTM_DELROUTE and the look-up RTM_GETROUTE.
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/objects.h"

namespace netlink {
namespace {

// RTA_VIA: a gateway of another family than the route (RFC 5549): 2 bytes of family, then the
// address.
std::optional<IpAddress> DecodeVia(std::span<const uint8_t> data) {
  return data.size() < 2 ? std::nullopt : IpAddress::FromBytes(data.subspan(2));
}

void DecodeNextHops(std::span<const uint8_t> data, std::vector<NextHop>& into) {
  while (data.size() >= sizeof(rtnexthop)) {
    rtnexthop header;
    std::memcpy(&header, data.data(), sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > data.size()) return;
    NextHop hop;
    hop.link_index = static_cast<uint32_t>(header.rtnh_ifindex);
    hop.onlink = (header.rtnh_flags & RTNH_F_ONLINK) != 0;
    ForEachAttribute(data.subspan(sizeof header, header.rtnh_len - sizeof header),
                     [&hop](const Attribute& a) {
                       if (a.type == RTA_GATEWAY) hop.gateway = IpAddress::FromBytes(a.data);
                       if (a.type == RTA_VIA) hop.gateway = DecodeVia(a.data);
                     });
    into.push_back(hop);
    const size_t step = RTNH_ALIGN(header.rtnh_len);
    if (step >= data.size()) return;
    data = data.subspan(step);
  }
}

}  // namespace

void Encode(MessageBatch& batch, Verb verb, const Route& route) {
  rtmsg header{};
  header.rtm_family = route.destination.address.family;
  header.rtm_dst_len = route.destination.length;
  header.rtm_table =
      route.table < 256 ? static_cast<uint8_t>(route.table) : static_cast<uint8_t>(RT_TABLE_UNSPEC);
  header.rtm_protocol = route.protocol;
  header.rtm_scope = route.scope;
  header.rtm_type = route.type;
  header.rtm_flags = route.onlink ? static_cast<uint32_t>(RTNH_F_ONLINK) : 0;
  batch.Begin(verb == Verb::kDelete ? RTM_DELROUTE : RTM_NEWROUTE, FlagsOf(verb), header);
  batch.Bytes(RTA_DST, route.destination.address.view());
  batch.U32(RTA_TABLE, route.table);
  if (route.gateway) batch.Bytes(RTA_GATEWAY, route.gateway->view());
  if (route.link_index) batch.U32(RTA_OIF, *route.link_index);
  if (route.preferred_source) batch.Bytes(RTA_PREFSRC, route.preferred_source->view());
  if (route.priority) batch.U32(RTA_PRIORITY, *route.priority);
  if (route.mtu) {
    const size_t metrics = batch.BeginNest(RTA_METRICS);
    batch.U32(RTAX_MTU, *route.mtu);
    batch.EndNest(metrics);
  }
  batch.End();
}

std::optional<Route> DecodeRoute(std::span<const uint8_t> body) {
  rtmsg header;
  const auto attributes = SplitBody(body, &header);
  if (!attributes || (header.rtm_family != AF_INET && header.rtm_family != AF_INET6))
    return std::nullopt;
  Route route;
  route.destination = IpPrefix{IpAddress::Any(header.rtm_family), header.rtm_dst_len};
  route.table = header.rtm_table;
  route.protocol = header.rtm_protocol;
  route.scope = header.rtm_scope;
  route.type = header.rtm_type;
  route.onlink = (header.rtm_flags & RTNH_F_ONLINK) != 0;
  ForEachAttribute(*attributes, [&route](const Attribute& a) {
    switch (a.type) {
      case RTA_DST:
        if (const auto address = IpAddress::FromBytes(a.data)) route.destination.address = *address;
        break;
      case RTA_GATEWAY:
        route.gateway = IpAddress::FromBytes(a.data);
        break;
      case RTA_VIA:
        route.gateway = DecodeVia(a.data);
        break;
      case RTA_OIF:
        route.link_index = a.As<uint32_t>();
        break;
      case RTA_PREFSRC:
        route.preferred_source = IpAddress::FromBytes(a.data);
        break;
      case RTA_PRIORITY:
        route.priority = a.As<uint32_t>();
        break;
      case RTA_TABLE:
        route.table = a.As<uint32_t>();
        break;
      case RTA_MULTIPATH:
        DecodeNextHops(a.data, route.next_hops);
        break;
      case RTA_METRICS:
        ForEachAttribute(a.data, [&route](const Attribute& metric) {
          if (metric.type == RTAX_MTU) route.mtu = metric.As<uint32_t>();
        });
        break;
      default:
        break;
    }
  });
  return route;
}

void EncodeRouteGet(MessageBatch& batch, const IpAddress& destination, uint32_t mark) {
  rtmsg header{};
  header.rtm_family = destination.family;
  header.rtm_dst_len = static_cast<uint8_t>(destination.size() * 8);
  batch.Begin(RTM_GETROUTE, 0, header);
  batch.Bytes(RTA_DST, destination.view());
  if (mark != 0) batch.U32(RTA_MARK, mark);
  batch.End();
}

}  // namespace netlink
