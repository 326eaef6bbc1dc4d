// The receive checks: each drop reason of the receive direction by the packet that should end in
// it, in both families.
#include <functional>

#include "node.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

// A good VXLAN packet from node 1 to node 2, whose layers a test spoils before they are put
// together.
struct Parts {
  Ip outer, inner;
  Bytes payload = Pattern(64);
  Mac inner_to = VtepMac(2), inner_from = VtepMac(1);
  uint32_t inner_type, destination_port = 8472, first_word = 0x08000000, second_word = 1 << 8;
  bool outer_checksum = false;
  std::function<void(Bytes&)> spoil_inner = [](Bytes&) {}, spoil_udp = spoil_inner,
                              spoil = spoil_inner;

  Parts(int outer_family, int inner_family)
      : outer{Underlay(1, outer_family), Underlay(2, outer_family)},
        inner{Pod(1, inner_family), Pod(2, inner_family)},
        inner_type(EtherType(inner.from)) {}

  Bytes Frame() const {
    Bytes ip = IpPacket(inner, Udp(inner.from, inner.to, 1111, 2222, payload));
    spoil_inner(ip);
    Bytes vxlan;
    Put32(vxlan, first_word);
    Put32(vxlan, second_word);
    Put(vxlan, Ethernet(inner_to, inner_from, inner_type, ip));
    Bytes udp = Udp(outer.from, outer.to, 50000, destination_port, vxlan);
    if (!outer_checksum) Set16(udp, 6, 0);
    spoil_udp(udp);
    Bytes frame = Ethernet(NicMac(2), NicMac(1), EtherType(outer.from), IpPacket(outer, udp));
    spoil(frame);
    return frame;
  }
};

class DecapChecks : public ::testing::TestWithParam<std::pair<int, int>> {
 protected:
  DecapChecks() : node_(Table(), fwd::Format{}), parts_(outer(), inner()) {}
  int outer() const { return GetParam().first; }
  int inner() const { return GetParam().second; }
  size_t outer_ip_bytes() const { return outer() == 4 ? 20 : 40; }
  TableBuilder Table() const {
    TableBuilder table(2);
    table.AddPeer(1, inner(), outer());
    table.AddPeer(3, inner(), outer());
    return table;
  }
  void ExpectDrop(DropReason reason) {
    const uint64_t before = node_.Drops(reason);
    node_.Decap(node_.Packet(parts_.Frame()));
    EXPECT_EQ(node_.Drops(reason), before + 1)
        << pkt::kDropReasonTexts[static_cast<uint32_t>(reason)].label;
    EXPECT_TRUE(node_.forward.packets.empty());
    node_.GiveBack();
  }
  void ExpectDelivery() {
    const uint64_t drops = node_.AllDrops();
    node_.Decap(node_.Packet(parts_.Frame()));
    EXPECT_EQ(node_.forward.packets.size(), 1u);
    EXPECT_EQ(node_.AllDrops(), drops);
    node_.GiveBack();
  }
  Node node_;
  Parts parts_;
};

TEST_P(DecapChecks, AGoodPacketPassesWithAndWithoutOuterChecksum) {
  ExpectDelivery();
  parts_.outer_checksum = true;
  ExpectDelivery();
}

TEST_P(DecapChecks, FrameShorterThanItsHeadersIsOuterLength) {
  const Bytes whole = parts_.Frame();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const uint64_t before = node_.Drops(DropReason::kOuterLength);
    node_.Decap(node_.Packet(Cut(whole, 0, bytes)));
    ASSERT_EQ(node_.Drops(DropReason::kOuterLength), before + 1) << bytes;
  }
}

TEST_P(DecapChecks, AnythingButIpIsOuterVersion) {
  parts_.spoil = [](Bytes& frame) { Set16(frame, 12, 0x0806); };
  ExpectDrop(DropReason::kOuterVersion);
  parts_.spoil = [](Bytes& frame) { frame[14] = static_cast<uint8_t>(frame[14] ^ 0x30); };
  ExpectDrop(DropReason::kOuterVersion);
}

TEST_P(DecapChecks, OuterFragmentIsNeverDecapsulated) {
  if (outer() == 4) {
    for (const uint16_t fragment : {0x2000, 0x0001, 0x3fff, 0x6000}) {
      parts_.outer.fragment = fragment;
      ExpectDrop(DropReason::kOuterFragment);
    }
  } else {
    parts_.outer.protocol = 44;
    ExpectDrop(DropReason::kOuterFragment);
  }
}

TEST_P(DecapChecks, WrongIpv4HeaderChecksumIsCounted) {
  if (outer() == 6) return;  // IPv6 has none.
  parts_.spoil = [](Bytes& frame) { frame[14 + 8] ^= 1; };
  ExpectDrop(DropReason::kOuterChecksum);
}

TEST_P(DecapChecks, UdpLengthThatDoesNotFitIsCounted) {
  const uint32_t true_length = static_cast<uint32_t>(parts_.Frame().size() - 14 - outer_ip_bytes());
  for (const uint32_t length : {0u, 7u, 8u, 29u, true_length + 1, 65535u}) {
    parts_.spoil_udp = [length](Bytes& udp) { Set16(udp, 4, length); };
    ExpectDrop(DropReason::kUdpLength);
  }
}

TEST_P(DecapChecks, WrongOuterChecksumIsCountedUnlessSomebodyVouchesForIt) {
  parts_.outer_checksum = true;
  parts_.spoil_udp = [](Bytes& udp) { udp[6] ^= 0x40; };
  ExpectDrop(DropReason::kUdpChecksum);
  pkt::Packet* packet = node_.Packet(parts_.Frame());
  packet->checksum = pkt::Checksum::kVerified;
  node_.Decap(packet);
  EXPECT_EQ(node_.forward.packets.size(), 1u);
}

TEST_P(DecapChecks, OuterChecksumFieldThatHoldsThePseudoSumIsTakenAsNotYetFilled) {
  parts_.spoil_udp = [this](Bytes& udp) {
    Set16(udp, 6,
          PseudoSum(parts_.outer.from, parts_.outer.to, 17, static_cast<uint32_t>(udp.size())));
  };
  ExpectDelivery();
}

TEST_P(DecapChecks, PacketForAnotherAddressPortOrProtocolIsNotOurs) {
  parts_.outer.to = Underlay(3, outer());
  ExpectDrop(DropReason::kNotOurs);
  parts_ = Parts(outer(), inner());
  parts_.destination_port = 4789;
  ExpectDrop(DropReason::kNotOurs);
  parts_ = Parts(outer(), inner());
  parts_.outer.protocol = 6;
  ExpectDrop(DropReason::kNotOurs);
}

TEST_P(DecapChecks, StrangerIsUnknownPeerAndMeetsSilence) {
  parts_.outer.from = Underlay(77, outer());
  ExpectDrop(DropReason::kUnknownPeer);
  EXPECT_TRUE(node_.reply.packets.empty());
}

TEST_P(DecapChecks, EachOfThe39ReservedBitsAloneIsRefused) {
  uint32_t refused = 0;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    const bool flag_i = bit == 4, vni = bit >= 32 && bit < 56;
    if (flag_i || vni) continue;
    parts_ = Parts(outer(), inner());
    (bit < 32 ? parts_.first_word : parts_.second_word) |= 0x80000000u >> bit % 32;
    ExpectDrop(DropReason::kVxlanFlags);
    ++refused;
  }
  EXPECT_EQ(refused, 39u);
  parts_ = Parts(outer(), inner());
  parts_.first_word = 0;
  ExpectDrop(DropReason::kVxlanFlags);
}

TEST_P(DecapChecks, AnotherVniIsRefused) {
  for (uint32_t bit = 8; bit < 32; ++bit) {
    parts_.second_word = (1u << 8) ^ (1u << bit);
    ExpectDrop(DropReason::kVxlanVni);
  }
}

TEST_P(DecapChecks, InnerMacMustBeOurVtepAndMustNotComeFromIt) {
  parts_.inner_to = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  ExpectDrop(DropReason::kInnerMac);
  parts_.inner_to = VtepMac(3);
  ExpectDrop(DropReason::kInnerMac);
  parts_.inner_to = parts_.inner_from = VtepMac(2);
  ExpectDrop(DropReason::kInnerMac);
}

TEST_P(DecapChecks, InnerVlanAndInnerTypeAreRefused) {
  for (const uint32_t type : {0x8100u, 0x88a8u}) {
    parts_.inner_type = type;
    ExpectDrop(DropReason::kInnerVlan);
  }
  for (const uint32_t type : {0x0806u, 0x0000u, inner() == 4 ? 0x86ddu : 0x0800u}) {
    parts_.inner_type = type;
    parts_.payload = Pattern(100);
    ExpectDrop(DropReason::kInnerType);
  }
}

TEST_P(DecapChecks, InnerLengthBeyondTheDatagramIsRefusedAndPaddingIsCutOff) {
  parts_.spoil_inner = [](Bytes& ip) { ip.pop_back(); };
  ExpectDrop(DropReason::kInnerLength);
  parts_.spoil_inner = [this](Bytes& ip) { Set16(ip, inner() == 4 ? 2 : 4, 0xffff); };
  ExpectDrop(DropReason::kInnerLength);
  if (inner() == 4) {
    parts_.spoil_inner = [](Bytes& ip) { ip[0] = 0x44; };
    ExpectDrop(DropReason::kInnerLength);
  }
  parts_.spoil_inner = [](Bytes& ip) { ip.insert(ip.end(), 9, 0xee); };
  node_.Decap(node_.Packet(parts_.Frame()));
  ASSERT_EQ(node_.forward.packets.size(), 1u);
  EXPECT_EQ(node_.forward.packets[0]->len, 14u + (inner() == 4 ? 20 : 40) + 8 + 64);
}

TEST_P(DecapChecks, InnerSourceMustBelongToTheVerySenderOfTheOuterPacket) {
  for (const Address& spoofed : {Pod(3, inner()), Pod(2, inner()), Pod(77, inner()),
                                 Underlay(3, inner()), Underlay(2, inner())}) {
    parts_.inner.from = spoofed;
    ExpectDrop(DropReason::kInnerSource);
  }
  // The sender's own public address is its host network.
  parts_.inner.from = Underlay(1, inner());
  if (inner() == outer()) {
    ExpectDelivery();
  } else {
    ExpectDrop(DropReason::kInnerSource);
  }
}

TEST_P(DecapChecks, InnerDestinationMustBeOurs) {
  std::vector<Address> refused = {Pod(1, inner()), Pod(3, inner()), Underlay(2, inner()),
                                  Underlay(1, inner())};
  if (inner() == 4) {
    for (const Address& address : {V4(127, 0, 0, 1), V4(224, 0, 0, 1), V4(255, 255, 255, 255),
                                   V4(169, 254, 1, 1), V4(0, 0, 0, 0), Pod(2, 4, 255)})
      refused.push_back(address);
  } else {
    for (const Address& address : {V6(0, 1, 0), V6(0, 0, 0), V6(0, 1, 0xff02), V6(0, 1, 0xfe80)})
      refused.push_back(address);
  }
  for (const Address& address : refused) {
    parts_.inner.to = address;
    ExpectDrop(DropReason::kInnerDestination);
  }
}

TEST_P(DecapChecks, NestedEncapsulationForOurOwnPortAndVniIsRefused) {
  const Bytes inside = Vxlan(1, Pattern(40));
  parts_.spoil_inner = [&](Bytes& ip) {
    ip = IpPacket(parts_.inner, Udp(parts_.inner.from, parts_.inner.to, 5, 8472, inside));
  };
  ExpectDrop(DropReason::kNested);
  const Bytes other_vni = Vxlan(2, Pattern(40));
  parts_.spoil_inner = [&](Bytes& ip) {
    ip = IpPacket(parts_.inner, Udp(parts_.inner.from, parts_.inner.to, 5, 8472, other_vni));
  };
  ExpectDelivery();
}

TEST_P(DecapChecks, DeadTtlIsDroppedAndTtlOneIsTheHostStacksBusiness) {
  parts_.inner.ttl = 0;
  ExpectDrop(DropReason::kTtl);
  parts_.inner.ttl = 1;
  ExpectDelivery();
}

TEST_P(DecapChecks, EcnFollowsRfc6040) {
  // [outer][inner] -> ECN of the delivered packet, -1: dropped. 0 not-ECT, 1 ECT(1), 2 ECT(0), 3
  // CE.
  constexpr int kTable[4][4] = {{0, 1, 2, 3}, {0, 1, 1, 3}, {0, 1, 2, 3}, {-1, 3, 3, 3}};
  for (int from = 0; from < 4; ++from) {
    for (int to = 0; to < 4; ++to) {
      parts_.outer.tos = static_cast<uint8_t>(0x48 | from);
      parts_.inner.tos = static_cast<uint8_t>(0xb8 | to);
      if (kTable[from][to] < 0) {
        ExpectDrop(DropReason::kEcn);
        continue;
      }
      Ip wanted = parts_.inner;
      wanted.tos = static_cast<uint8_t>(0xb8 | kTable[from][to]);
      node_.Decap(node_.Packet(parts_.Frame()));
      ASSERT_EQ(node_.forward.packets.size(), 1u);
      const Bytes ip = IpPacket(wanted, Udp(wanted.from, wanted.to, 1111, 2222, parts_.payload));
      EXPECT_EQ(Hex(BytesOf(*node_.forward.packets[0])),
                Hex(Ethernet(VtepMac(2), VtepMac(1), EtherType(wanted.to), ip)));
      node_.GiveBack();
    }
  }
}

TEST_P(DecapChecks, PartialOuterChecksumOfAKernelPeerIsForgottenAndAPartialInnerOneIsShifted) {
  const size_t udp = 14 + outer_ip_bytes(), inner_l4 = udp + 8 + 8 + 14 + (inner() == 4 ? 20 : 40);
  pkt::Packet* packet = node_.Packet(parts_.Frame());
  packet->checksum = pkt::Checksum::kPartial;
  packet->csum_start = static_cast<uint16_t>(udp);
  packet->csum_offset = 6;
  node_.Decap(packet);
  ASSERT_EQ(node_.forward.packets.size(), 1u);
  EXPECT_EQ(packet->checksum, pkt::Checksum::kUnknown);
  node_.GiveBack();
  packet = node_.Packet(parts_.Frame());
  packet->checksum = pkt::Checksum::kPartial;
  packet->csum_start = static_cast<uint16_t>(inner_l4);
  packet->csum_offset = 6;
  node_.Decap(packet);
  ASSERT_EQ(node_.forward.packets.size(), 1u);
  EXPECT_EQ(packet->checksum, pkt::Checksum::kPartial);
  EXPECT_EQ(packet->csum_start, 14 + (inner() == 4 ? 20 : 40));
}

TEST_P(DecapChecks, InnerFieldThatHoldsThePseudoSumIsMarkedPartial) {
  const uint32_t l4 = inner() == 4 ? 20 : 40;
  parts_.spoil_inner = [&](Bytes& ip) {
    Set16(ip, l4 + 6, PseudoSum(parts_.inner.from, parts_.inner.to, 17, 8 + 64));
  };
  pkt::Packet* packet = node_.Packet(parts_.Frame());
  node_.Decap(packet);
  ASSERT_EQ(node_.forward.packets.size(), 1u);
  EXPECT_EQ(packet->checksum, pkt::Checksum::kPartial);
  EXPECT_EQ(packet->csum_start, 14 + l4);
  EXPECT_EQ(packet->csum_offset, 6);
}

TEST_P(DecapChecks, OffloadMetadataThatContradictsTheHeadersIsRefused) {
  pkt::Packet* packet = node_.Packet(parts_.Frame());
  packet->checksum = pkt::Checksum::kPartial;
  packet->csum_start = 60000;
  packet->csum_offset = 6;
  node_.Decap(packet);
  packet = node_.Packet(parts_.Frame());
  packet->gso = inner() == 4 ? pkt::Gso::kTcp4 : pkt::Gso::kTcp6;
  packet->gso_size = 100;
  node_.Decap(packet);
  EXPECT_EQ(node_.Drops(DropReason::kRxTruncated), 2u);
}

INSTANTIATE_TEST_SUITE_P(Families, DecapChecks,
                         ::testing::Values(std::pair{4, 4}, std::pair{4, 6}, std::pair{6, 4},
                                           std::pair{6, 6}),
                         [](const auto& info) {
                           return "OuterIpv" + std::to_string(info.param.first) + "InnerIpv" +
                                  std::to_string(info.param.second);
                         });

}  // namespace
