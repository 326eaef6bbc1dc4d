// Neighbors and FDB entries: both are RTM_NEWNEIGH / RTM_DELNEIGH, told apart by the family
// AF_BRIDGE.
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/objects.h"

namespace netlink {

void Encode(MessageBatch& batch, Verb verb, const Neighbor& neighbor) {
  ndmsg header{};
  header.ndm_family = neighbor.fdb       ? static_cast<uint8_t>(AF_BRIDGE)
                      : neighbor.address ? neighbor.address->family
                                         : uint8_t{0};
  header.ndm_ifindex = neighbor.link_index;
  header.ndm_state = neighbor.state;
  header.ndm_flags = neighbor.flags;
  batch.Begin(verb == Verb::kDelete ? RTM_DELNEIGH : RTM_NEWNEIGH, FlagsOf(verb), header);
  if (neighbor.address) batch.Bytes(NDA_DST, neighbor.address->view());
  if (neighbor.mac) batch.Bytes(NDA_LLADDR, *neighbor.mac);
  if (neighbor.protocol && !neighbor.fdb) batch.U8(NDA_PROTOCOL, *neighbor.protocol);
  if (neighbor.ext_flags != 0) batch.U32(NDA_FLAGS_EXT, neighbor.ext_flags);
  batch.End();
}

std::optional<Neighbor> DecodeNeighbor(std::span<const uint8_t> body) {
  ndmsg header;
  const auto attributes = SplitBody(body, &header);
  if (!attributes) return std::nullopt;
  Neighbor neighbor;
  neighbor.fdb = header.ndm_family == AF_BRIDGE;
  neighbor.link_index = header.ndm_ifindex;
  neighbor.state = header.ndm_state;
  neighbor.flags = header.ndm_flags;
  ForEachAttribute(*attributes, [&neighbor](const Attribute& a) {
    switch (a.type) {
      case NDA_DST:
        neighbor.address = IpAddress::FromBytes(a.data);
        break;
      case NDA_LLADDR:
        neighbor.mac = MacFromBytes(a.data);
        break;
      case NDA_PROTOCOL:
        neighbor.protocol = a.As<uint8_t>();
        break;
      case NDA_FLAGS_EXT:
        neighbor.ext_flags = a.As<uint32_t>();
        break;
      default:
        break;
    }
  });
  return neighbor;
}

void EncodeNeighborGet(MessageBatch& batch, const IpAddress& address, uint32_t link_index) {
  ndmsg header{};
  header.ndm_family = address.family;
  header.ndm_ifindex = static_cast<int32_t>(link_index);
  batch.Begin(RTM_GETNEIGH, 0, header);
  batch.Bytes(NDA_DST, address.view());
  batch.End();
}

}  // namespace netlink
