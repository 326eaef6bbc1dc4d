// Dump requests, and telling which object a message carries. Dump headers obey
// NETLINK_GET_STRICT_CHK: every field that is not a filter stays zero.
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/objects.h"

namespace netlink {

uint16_t FlagsOf(Verb verb) {
  switch (verb) {
    case Verb::kAdd:
      return NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    case Verb::kReplace:
      return NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    case Verb::kChange:
    case Verb::kDelete:
      break;
  }
  return NLM_F_ACK;
}

void EncodeDump(MessageBatch& batch, const Query& query) {
  switch (query.kind) {
    case Kind::kLink: {
      ifinfomsg header{};
      batch.Begin(RTM_GETLINK, NLM_F_DUMP, header);
      break;
    }
    case Kind::kAddress: {
      ifaddrmsg header{};
      header.ifa_family = query.family;
      header.ifa_index = query.link_index;
      batch.Begin(RTM_GETADDR, NLM_F_DUMP, header);
      break;
    }
    case Kind::kRoute: {
      rtmsg header{};
      header.rtm_family = query.family;
      header.rtm_protocol = query.protocol;
      batch.Begin(RTM_GETROUTE, NLM_F_DUMP, header);
      if (query.table != 0) batch.U32(RTA_TABLE, query.table);
      if (query.link_index != 0) batch.U32(RTA_OIF, query.link_index);
      break;
    }
    case Kind::kNeighbor:
    case Kind::kFdb: {
      ndmsg header{};
      header.ndm_family = query.kind == Kind::kFdb ? static_cast<uint8_t>(AF_BRIDGE) : query.family;
      // The FDB dump takes its device from the header, the neighbor dump from an attribute.
      if (query.kind == Kind::kFdb) header.ndm_ifindex = static_cast<int32_t>(query.link_index);
      batch.Begin(RTM_GETNEIGH, NLM_F_DUMP, header);
      if (query.kind == Kind::kNeighbor && query.link_index != 0)
        batch.U32(NDA_IFINDEX, query.link_index);
      break;
    }
    case Kind::kRule: {
      fib_rule_hdr header{};
      header.family = query.family;
      batch.Begin(RTM_GETRULE, NLM_F_DUMP, header);
      break;
    }
  }
  batch.End();
}

std::optional<Notice> Decode(uint16_t type, std::span<const uint8_t> body) {
  const auto wrap = [](bool deleted, auto object) -> std::optional<Notice> {
    if (!object) return std::nullopt;
    return Notice{deleted, std::move(*object)};
  };
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return wrap(type == RTM_DELLINK, DecodeLink(body));
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return wrap(type == RTM_DELADDR, DecodeAddress(body));
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return wrap(type == RTM_DELROUTE, DecodeRoute(body));
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return wrap(type == RTM_DELNEIGH, DecodeNeighbor(body));
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return wrap(type == RTM_DELRULE, DecodeRule(body));
    default:
      return std::nullopt;
  }
}

}  // namespace netlink
