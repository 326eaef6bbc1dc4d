// Policy routing rules: RTM_NEWRULE / RTM_DELRULE.
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/objects.h"

namespace netlink {

void Encode(MessageBatch& batch, Verb verb, const Rule& rule) {
  fib_rule_hdr header{};
  header.family = rule.family;
  header.src_len = rule.source ? rule.source->length : uint8_t{0};
  header.dst_len = rule.destination ? rule.destination->length : uint8_t{0};
  header.table = rule.table < 256 ? static_cast<uint8_t>(rule.table) : uint8_t{0};
  header.action = rule.action;
  batch.Begin(verb == Verb::kDelete ? RTM_DELRULE : RTM_NEWRULE, FlagsOf(verb), header);
  if (rule.source) batch.Bytes(FRA_SRC, rule.source->address.view());
  if (rule.destination) batch.Bytes(FRA_DST, rule.destination->address.view());
  if (rule.priority) batch.U32(FRA_PRIORITY, *rule.priority);
  if (rule.mark) batch.U32(FRA_FWMARK, *rule.mark);
  if (rule.mask) batch.U32(FRA_FWMASK, *rule.mask);
  batch.U32(FRA_TABLE, rule.table);
  if (rule.protocol != 0) batch.U8(FRA_PROTOCOL, rule.protocol);
  batch.End();
}

std::optional<Rule> DecodeRule(std::span<const uint8_t> body) {
  fib_rule_hdr header;
  const auto attributes = SplitBody(body, &header);
  if (!attributes || (header.family != AF_INET && header.family != AF_INET6)) return std::nullopt;
  Rule rule;
  rule.family = header.family;
  rule.table = header.table;
  rule.action = header.action;
  ForEachAttribute(*attributes, [&](const Attribute& a) {
    switch (a.type) {
      case FRA_SRC:
        if (const auto from = IpAddress::FromBytes(a.data))
          rule.source = IpPrefix{*from, header.src_len};
        break;
      case FRA_DST:
        if (const auto to = IpAddress::FromBytes(a.data))
          rule.destination = IpPrefix{*to, header.dst_len};
        break;
      case FRA_PRIORITY:
        rule.priority = a.As<uint32_t>();
        break;
      case FRA_FWMARK:
        rule.mark = a.As<uint32_t>();
        break;
      case FRA_FWMASK:
        rule.mask = a.As<uint32_t>();
        break;
      case FRA_TABLE:
        rule.table = a.As<uint32_t>();
        break;
      case FRA_PROTOCOL:
        rule.protocol = a.As<uint8_t>();
        break;
      default:
        break;
    }
  });
  return rule;
}

}  // namespace netlink
