// Interface addresses: RTM_NEWADDR / RTM_DELADDR.
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/objects.h"

namespace netlink {

void Encode(MessageBatch& batch, Verb verb, const Address& address) {
  ifaddrmsg header{};
  header.ifa_family = address.prefix.address.family;
  header.ifa_prefixlen = address.prefix.length;
  header.ifa_scope = address.scope;
  header.ifa_index = static_cast<uint32_t>(address.link_index);
  batch.Begin(verb == Verb::kDelete ? RTM_DELADDR : RTM_NEWADDR, FlagsOf(verb), header);
  batch.Bytes(IFA_LOCAL, address.local ? address.local->view() : address.prefix.address.view());
  batch.Bytes(IFA_ADDRESS, address.prefix.address.view());
  if (verb != Verb::kDelete && address.flags != 0) batch.U32(IFA_FLAGS, address.flags);
  batch.End();
}

std::optional<Address> DecodeAddress(std::span<const uint8_t> body) {
  ifaddrmsg header;
  const auto attributes = SplitBody(body, &header);
  if (!attributes) return std::nullopt;
  Address address;
  address.link_index = static_cast<int32_t>(header.ifa_index);
  address.scope = header.ifa_scope;
  address.flags = header.ifa_flags;
  std::optional<IpAddress> own;
  std::optional<IpAddress> peer;
  ForEachAttribute(*attributes, [&](const Attribute& a) {
    switch (a.type) {
      case IFA_LOCAL:
        own = IpAddress::FromBytes(a.data);
        break;
      case IFA_ADDRESS:
        peer = IpAddress::FromBytes(a.data);
        break;
      case IFA_FLAGS:
        address.flags = a.As<uint32_t>();
        break;
      default:
        break;
    }
  });
  // IPv6 tells only IFA_ADDRESS unless there is a peer; IPv4 tells both, and they differ on
  // point-to-point links.
  const auto& shown = peer ? peer : own;
  if (!shown) return std::nullopt;
  address.prefix = IpPrefix{*shown, header.ifa_prefixlen};
  if (own && peer && *own != *peer) address.local = own;
  return address;
}

}  // namespace netlink
