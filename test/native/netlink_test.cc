// rtnetlink messages: what is encoded decodes to the same, the bytes are the kernel's, and messages
// that lie about their lengths are survived. No socket is opened here; test/netns/netlink.test.ts
// talks to the kernel.
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <random>

#include "netlink/message.h"
#include "netlink/objects.h"
#include "netlink/request_socket.h"

namespace netlink {
namespace {

std::span<const uint8_t> Body(MessageBatch& batch, size_t index) {
  return std::span<const uint8_t>(batch.Slice(index, 1)).subspan(sizeof(nlmsghdr));
}

IpAddress Ip(const char* text) { return IpAddress::FromText(text).value(); }
IpPrefix Prefix(const char* text) { return IpPrefix::FromText(text).value(); }

TEST(NetlinkText, ReadsAndWritesAddressesPrefixesAndMacs) {
  for (const char* text :
       {"0.0.0.0", "10.244.2.0", "255.255.255.255", "::", "fd00::1", "2001:db8::dead:beef"}) {
    EXPECT_EQ(Ip(text).ToText(), text);
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "fd00:::1", "10.0.0.1x"})
    EXPECT_FALSE(IpAddress::FromText(text)) << text;
  EXPECT_EQ(Prefix("10.0.0.1").ToText(), "10.0.0.1/32");
  EXPECT_EQ(Prefix("fd00::/64").ToText(), "fd00::/64");
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "fd00::/129"}) {
    EXPECT_FALSE(IpPrefix::FromText(text)) << text;
  }
  EXPECT_EQ(MacToText(MacFromText("02:aB:00:00:00:ff").value()), "02:ab:00:00:00:ff");
  for (const char* text :
       {"", "02:00:00:00:00", "02-00-00-00-00-01", "0g:00:00:00:00:01", "02:00:00:00:00:0 "}) {
    EXPECT_FALSE(MacFromText(text)) << text;
  }
}

TEST(NetlinkRoute, DecodesToWhatWasEncoded) {
  Route route;
  route.destination = Prefix("10.244.2.0/24");
  route.gateway = Ip("10.244.2.0");
  route.link_index = 7;
  route.priority = 5;
  route.mtu = 1400;
  route.table = 1000;
  route.protocol = 158;
  route.onlink = true;
  MessageBatch batch;
  Encode(batch, Verb::kReplace, route);
  const nlmsghdr* header = batch.Header(0);
  EXPECT_EQ(header->nlmsg_type, RTM_NEWROUTE);
  EXPECT_EQ(header->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  EXPECT_EQ(header->nlmsg_len, batch.Slice(0, 1).size());
  const auto decoded = DecodeRoute(Body(batch, 0));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->destination.ToText(), "10.244.2.0/24");
  EXPECT_EQ(decoded->gateway, route.gateway);
  EXPECT_EQ(decoded->link_index, 7u);
  EXPECT_EQ(decoded->priority, 5u);
  EXPECT_EQ(decoded->mtu, 1400u);
  EXPECT_EQ(decoded->table, 1000u);
  EXPECT_EQ(decoded->protocol, 158);
  EXPECT_TRUE(decoded->onlink);
}

TEST(NetlinkLink, CarriesVxlanSettingsWithThePortInNetworkOrder) {
  Link link;
  link.name = "flannel.1";
  link.kind = "vxlan";
  link.mac = MacFromText("02:00:00:00:00:01");
  link.mtu = 1450;
  link.vxlan = Vxlan{};
  link.vxlan->vni = 1;
  link.vxlan->port = 8472;
  link.vxlan->local = Ip("fd00::1");
  link.vxlan->learning = false;
  link.vxlan->gbp = true;
  MessageBatch batch;
  Encode(batch, Verb::kAdd, link);
  const auto body = Body(batch, 0);
  const std::array<uint8_t, 6> port = {6, 0, IFLA_VXLAN_PORT, 0, 0x21, 0x18};
  EXPECT_NE(std::search(body.begin(), body.end(), port.begin(), port.end()), body.end());
  const auto decoded = DecodeLink(body);
  ASSERT_TRUE(decoded && decoded->vxlan);
  EXPECT_EQ(decoded->name, "flannel.1");
  EXPECT_EQ(decoded->mac, link.mac);
  EXPECT_EQ(decoded->mtu, 1450u);
  EXPECT_EQ(decoded->vxlan->vni, 1u);
  EXPECT_EQ(decoded->vxlan->port, 8472);
  EXPECT_EQ(decoded->vxlan->local, link.vxlan->local);
  EXPECT_EQ(decoded->vxlan->learning, false);
  EXPECT_EQ(decoded->vxlan->proxy, std::nullopt);
  EXPECT_TRUE(decoded->vxlan->gbp);
}

TEST(NetlinkLink, AsksForAnIpipDeviceInTheseBytes) {
  Link link;
  link.name = "flannel.ipip";
  link.kind = "ipip";
  link.mtu = 1480;
  link.ip_tunnel = IpTunnel{.local = Ip("192.0.2.1"), .remote = std::nullopt};
  MessageBatch batch;
  Encode(batch, Verb::kAdd, link);
  // By hand, from linux/rtnetlink.h, if_link.h and if_tunnel.h, little-endian as on both machines
  // we build for.
  const std::vector<uint8_t> expected = {
      104,  0,    0,   0,                         // nlmsg_len
      16,   0,                                    // RTM_NEWLINK
      0x05, 0x06,                                 // REQUEST, ACK; EXCL, CREATE
      0,    0,    0,   0,    0,    0,    0,   0,  // sequence, port: the sender's
      0,    0,    0,   0,    0,    0,    0,   0,  // ifinfomsg: any family, type, index
      0,    0,    0,   0,    0,    0,    0,   0,  // flags, change
      17,   0,    3,   0,    'f',  'l',  'a', 'n', 'n', 'e', 'l', '.',
      'i',  'p',  'i', 'p',  0,    0,    0,   0,                      // IFLA_IFNAME
      8,    0,    4,   0,    0xc8, 0x05, 0,   0,                      // IFLA_MTU 1480
      44,   0,    18,  0x80,                                          // IFLA_LINKINFO, nested
      9,    0,    1,   0,    'i',  'p',  'i', 'p', 0,   0,   0,   0,  // IFLA_INFO_KIND
      28,   0,    2,   0x80,                                          // IFLA_INFO_DATA, nested
      8,    0,    2,   0,    192,  0,    2,   1,                      // IFLA_IPTUN_LOCAL
      5,    0,    9,   0,    4,    0,    0,   0,                      // IFLA_IPTUN_PROTO IPIP
      5,    0,    10,  0,    1,    0,    0,   0,                      // IFLA_IPTUN_PMTUDISC
  };
  const auto bytes = batch.Slice(0, 1);
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin(), bytes.end()), expected);
  const auto decoded = DecodeLink(Body(batch, 0));
  ASSERT_TRUE(decoded && decoded->ip_tunnel);
  EXPECT_EQ(decoded->ip_tunnel->local, link.ip_tunnel->local);
  EXPECT_EQ(decoded->ip_tunnel->remote, std::nullopt);
}

TEST(NetlinkNeighbor, TellsFdbEntriesFromNeighbors) {
  Neighbor neighbor;
  neighbor.link_index = 3;
  neighbor.address = Ip("fd00::2");
  neighbor.mac = MacFromText("02:00:00:00:00:02");
  neighbor.state = NUD_PERMANENT;
  neighbor.protocol = 158;
  MessageBatch batch;
  Encode(batch, Verb::kAdd, neighbor);
  neighbor.fdb = true;
  neighbor.flags = NTF_SELF;
  Encode(batch, Verb::kDelete, neighbor);
  ASSERT_EQ(batch.count(), 2u);
  const auto first = DecodeNeighbor(Body(batch, 0));
  const auto second = DecodeNeighbor(Body(batch, 1));
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(first->fdb);
  EXPECT_EQ(first->protocol, 158);
  EXPECT_TRUE(second->fdb);
  EXPECT_EQ(second->flags, NTF_SELF);
  EXPECT_EQ(second->protocol, std::nullopt) << "the kernel keeps no protocol for FDB entries";
  EXPECT_EQ(batch.Header(1)->nlmsg_type, RTM_DELNEIGH);
}

TEST(NetlinkAck, GivesErrorNumberAndTheKernelsText) {
  MessageBatch ack;
  nlmsgerr header{};
  header.error = -EEXIST;
  header.msg.nlmsg_len = sizeof(nlmsghdr);
  ack.Begin(NLMSG_ERROR, 0, header);
  ack.Text(NLMSGERR_ATTR_MSG, "it is there");
  ack.End();
  const Outcome capped = ParseAck(Body(ack, 0), NLM_F_ACK_TLVS | NLM_F_CAPPED);
  EXPECT_EQ(capped.os_error, EEXIST);
  EXPECT_EQ(capped.message, "it is there");
  EXPECT_EQ(ParseAck(Body(ack, 0), 0).message, "");
  EXPECT_EQ(ParseAck(Body(ack, 0).first(3), NLM_F_ACK_TLVS).os_error, EBADMSG);
  header.msg.nlmsg_len = 0xffffffff;
  MessageBatch liar;
  liar.Begin(NLMSG_ERROR, 0, header);
  liar.End();
  EXPECT_EQ(ParseAck(Body(liar, 0), NLM_F_ACK_TLVS).os_error, EEXIST);
}

TEST(NetlinkDecode, SurvivesEveryCutAndEveryLengthThatLies) {
  MessageBatch batch;
  Link link;
  link.name = "flannel.1";
  link.kind = "vxlan";
  link.vxlan = Vxlan{.vni = 1, .local = Ip("192.0.2.1")};
  Encode(batch, Verb::kAdd, link);
  Route route;
  route.destination = Prefix("fd00::/64");
  route.gateway = Ip("fd00::1");
  route.mtu = 1280;
  Encode(batch, Verb::kAdd, route);
  std::mt19937 random(7);
  for (size_t index = 0; index < batch.count(); ++index) {
    const uint16_t type = batch.Header(index)->nlmsg_type;
    const auto whole = Body(batch, index);
    for (size_t size = 0; size <= whole.size(); ++size) {
      // A copy of its own, so that a sanitizer sees every byte read past the cut.
      const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      (void)Decode(type, cut);
    }
    for (int round = 0; round < 2000; ++round) {
      std::vector<uint8_t> damaged(whole.begin(), whole.end());
      for (int hit = 0; hit < 3; ++hit)
        damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
      for (const uint16_t as : {RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH, RTM_NEWRULE})
        (void)Decode(as, damaged);
    }
  }
  EXPECT_FALSE(Decode(RTM_NEWQDISC, Body(batch, 0)));
}

}  // namespace
}  // namespace netlink
