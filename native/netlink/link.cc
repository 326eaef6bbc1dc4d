// Links: RTM_NEWLINK / RTM_DELLINK, with the data of the tunnel kinds Ripstop makes.
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "base/endian.h"
#include "netlink/objects.h"

namespace netlink {
namespace {

void PutFlag(MessageBatch& batch, uint16_t type, const std::optional<bool>& value) {
  if (value) batch.U8(type, *value ? 1 : 0);
}

void EncodeVxlan(MessageBatch& batch, const Vxlan& vxlan) {
  if (vxlan.vni) batch.U32(IFLA_VXLAN_ID, *vxlan.vni);
  if (vxlan.lower_index) batch.U32(IFLA_VXLAN_LINK, *vxlan.lower_index);
  if (vxlan.local) {
    batch.Bytes(vxlan.local->family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6,
                vxlan.local->view());
  }
  if (vxlan.group) {
    batch.Bytes(vxlan.group->family == AF_INET ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6,
                vxlan.group->view());
  }
  if (vxlan.ttl) batch.U8(IFLA_VXLAN_TTL, *vxlan.ttl);
  if (vxlan.tos) batch.U8(IFLA_VXLAN_TOS, *vxlan.tos);
  PutFlag(batch, IFLA_VXLAN_LEARNING, vxlan.learning);
  PutFlag(batch, IFLA_VXLAN_PROXY, vxlan.proxy);
  PutFlag(batch, IFLA_VXLAN_RSC, vxlan.rsc);
  PutFlag(batch, IFLA_VXLAN_L2MISS, vxlan.l2miss);
  PutFlag(batch, IFLA_VXLAN_L3MISS, vxlan.l3miss);
  PutFlag(batch, IFLA_VXLAN_UDP_CSUM, vxlan.udp_checksum);
  PutFlag(batch, IFLA_VXLAN_UDP_ZERO_CSUM6_TX, vxlan.udp6_zero_checksum_tx);
  PutFlag(batch, IFLA_VXLAN_UDP_ZERO_CSUM6_RX, vxlan.udp6_zero_checksum_rx);
  if (vxlan.port) batch.U16(IFLA_VXLAN_PORT, base::SwapBytes(*vxlan.port));
  if (vxlan.gbp) batch.Bytes(IFLA_VXLAN_GBP, {});
}

void EncodeIpTunnel(MessageBatch& batch, const IpTunnel& tunnel) {
  if (tunnel.local) batch.Bytes(IFLA_IPTUN_LOCAL, tunnel.local->view());
  if (tunnel.remote) batch.Bytes(IFLA_IPTUN_REMOTE, tunnel.remote->view());
  batch.U8(IFLA_IPTUN_PROTO, 4);  // IPIP.
  batch.U8(IFLA_IPTUN_PMTUDISC, 1);
}

void EncodeQueues(MessageBatch& batch, uint32_t queues) {
  batch.U32(IFLA_NUM_TX_QUEUES, queues);
  batch.U32(IFLA_NUM_RX_QUEUES, queues);
}

void EncodeVeth(MessageBatch& batch, const Veth& veth) {
  const size_t peer = batch.BeginNest(VETH_INFO_PEER);
  batch.Struct(ifinfomsg{});
  batch.Text(IFLA_IFNAME, veth.peer_name);
  if (veth.peer_mtu) batch.U32(IFLA_MTU, *veth.peer_mtu);
  EncodeQueues(batch, veth.queues);
  batch.EndNest(peer);
}

Vxlan DecodeVxlan(std::span<const uint8_t> data) {
  Vxlan vxlan;
  ForEachAttribute(data, [&vxlan](const Attribute& a) {
    switch (a.type) {
      case IFLA_VXLAN_ID:
        vxlan.vni = a.As<uint32_t>();
        break;
      case IFLA_VXLAN_LINK:
        vxlan.lower_index = a.As<uint32_t>();
        break;
      case IFLA_VXLAN_LOCAL:
      case IFLA_VXLAN_LOCAL6:
        vxlan.local = IpAddress::FromBytes(a.data);
        break;
      case IFLA_VXLAN_GROUP:
      case IFLA_VXLAN_GROUP6:
        vxlan.group = IpAddress::FromBytes(a.data);
        break;
      case IFLA_VXLAN_TTL:
        vxlan.ttl = a.As<uint8_t>();
        break;
      case IFLA_VXLAN_TOS:
        vxlan.tos = a.As<uint8_t>();
        break;
      case IFLA_VXLAN_LEARNING:
        vxlan.learning = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_PROXY:
        vxlan.proxy = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_RSC:
        vxlan.rsc = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_L2MISS:
        vxlan.l2miss = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_L3MISS:
        vxlan.l3miss = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_UDP_CSUM:
        vxlan.udp_checksum = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_UDP_ZERO_CSUM6_TX:
        vxlan.udp6_zero_checksum_tx = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_UDP_ZERO_CSUM6_RX:
        vxlan.udp6_zero_checksum_rx = a.As<uint8_t>() != 0;
        break;
      case IFLA_VXLAN_PORT:
        vxlan.port = base::SwapBytes(a.As<uint16_t>());
        break;
      case IFLA_VXLAN_GBP:
        vxlan.gbp = true;
        break;
      default:
        break;
    }
  });
  return vxlan;
}

IpTunnel DecodeIpTunnel(std::span<const uint8_t> data) {
  IpTunnel tunnel;
  ForEachAttribute(data, [&tunnel](const Attribute& a) {
    if (a.type == IFLA_IPTUN_LOCAL) tunnel.local = IpAddress::FromBytes(a.data);
    if (a.type == IFLA_IPTUN_REMOTE) tunnel.remote = IpAddress::FromBytes(a.data);
  });
  return tunnel;
}

void DecodeLinkInfo(std::span<const uint8_t> info, Link& link) {
  std::span<const uint8_t> data;
  ForEachAttribute(info, [&](const Attribute& a) {
    if (a.type == IFLA_INFO_KIND) link.kind = a.Text();
    if (a.type == IFLA_INFO_DATA) data = a.data;
  });
  if (link.kind == "vxlan") link.vxlan = DecodeVxlan(data);
  if (link.kind == "ipip") link.ip_tunnel = DecodeIpTunnel(data);
}

}  // namespace

void Encode(MessageBatch& batch, Verb verb, const Link& link) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = link.index;
  if (verb != Verb::kDelete && link.up) {
    header.ifi_change = IFF_UP;
    header.ifi_flags = *link.up ? IFF_UP : 0;
  }
  batch.Begin(verb == Verb::kDelete ? RTM_DELLINK : RTM_NEWLINK, FlagsOf(verb), header);
  if (!link.name.empty()) batch.Text(IFLA_IFNAME, link.name);
  if (verb != Verb::kDelete) {
    if (link.mac) batch.Bytes(IFLA_ADDRESS, *link.mac);
    if (link.mtu) batch.U32(IFLA_MTU, *link.mtu);
    if (link.master_index) batch.U32(IFLA_MASTER, *link.master_index);
    if (link.veth) EncodeQueues(batch, link.veth->queues);
    if (link.gso_segments_max) batch.U32(IFLA_GSO_MAX_SEGS, *link.gso_segments_max);
    if (!link.kind.empty()) {
      const size_t info = batch.BeginNest(IFLA_LINKINFO);
      batch.Text(IFLA_INFO_KIND, link.kind);
      if (link.vxlan || link.ip_tunnel || link.veth) {
        const size_t data = batch.BeginNest(IFLA_INFO_DATA);
        if (link.vxlan) EncodeVxlan(batch, *link.vxlan);
        if (link.ip_tunnel) EncodeIpTunnel(batch, *link.ip_tunnel);
        if (link.veth) EncodeVeth(batch, *link.veth);
        batch.EndNest(data);
      }
      batch.EndNest(info);
    }
  }
  batch.End();
}

std::optional<Link> DecodeLink(std::span<const uint8_t> body) {
  ifinfomsg header;
  const auto attributes = SplitBody(body, &header);
  if (!attributes) return std::nullopt;
  Link link;
  link.index = header.ifi_index;
  link.flags = header.ifi_flags;
  link.up = (header.ifi_flags & IFF_UP) != 0;
  ForEachAttribute(*attributes, [&link](const Attribute& a) {
    switch (a.type) {
      case IFLA_IFNAME:
        link.name = a.Text();
        break;
      case IFLA_ADDRESS:
        link.mac = MacFromBytes(a.data);
        break;
      case IFLA_MTU:
        link.mtu = a.As<uint32_t>();
        break;
      case IFLA_MASTER:
        link.master_index = a.As<uint32_t>();
        break;
      case IFLA_LINK:
        link.lower_index = a.As<uint32_t>();
        break;
      case IFLA_CARRIER:
        link.carrier = a.As<uint8_t>() != 0;
        break;
      case IFLA_LINKINFO:
        DecodeLinkInfo(a.data, link);
        break;
      default:
        break;
    }
  });
  return link;
}

void EncodeLinkGet(MessageBatch& batch, const std::string& name) {
  ifinfomsg header{};
  batch.Begin(RTM_GETLINK, 0, header);
  batch.Text(IFLA_IFNAME, name);
  batch.End();
}

}  // namespace netlink
