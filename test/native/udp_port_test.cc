// The UDP port against another one and against a plain socket, over the loopback of a namespace of
// the test's own. Loopback carries segmented sends whole, as a veth does.
#include "port/udp_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cstring>
#include <map>

#include "base/clock.h"
#include "base/endian.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "sandboxed.h"
#include "wire.h"

namespace {

using port::UdpAddress;
using port::UdpOptions;
using port::UdpPort;

constexpr uint16_t kPort = 8285;

UdpAddress Ip(const char* text) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET, text, bytes) == 1) return UdpAddress::Ip4(base::Load<uint32_t>(bytes));
  EXPECT_EQ(inet_pton(AF_INET6, text, bytes), 1);
  return UdpAddress::Ip6(bytes);
}

class UdpPortTest : public test::Sandboxed<> {
 protected:
  void Prepare() override {
    // The kernel makes an IPv6 address usable a moment after it was added.
    const char* usable =
        "timeout 5 sh -c 'until ip -6 route show table local | grep -q fd00::1 &&"
        " ip -6 route show table local | grep -q fd00::2; do :; done'";
    for (const char* command :
         {"sysctl -qw net.ipv6.conf.lo.disable_ipv6=0", "ip -6 addr add fd00::1/128 dev lo nodad",
          "ip -6 addr add fd00::2/128 dev lo nodad", usable})
      ASSERT_TRUE(test::NetSandbox::Run(command));
  }
  std::unique_ptr<UdpPort> Open(const char* v4, const char* v6, bool segmentation = true) {
    UdpOptions options;
    options.local4 = Ip(v4);
    options.local6 = Ip(v6);
    options.segmentation = segmentation;
    auto opened = UdpPort::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    return opened.ok() ? std::move(opened).value() : nullptr;
  }
  // As encap leaves it: outer headers and a payload that begins with `number`.
  pkt::Packet* Encapsulated(pkt::FramePool& pool, const UdpAddress& to, uint32_t number,
                            uint32_t payload, uint8_t tos = 0) {
    pkt::Packet* packet = pool.Take();
    if (packet == nullptr) return nullptr;
    port::UdpSocket destination;
    destination.local = to;
    destination.port = kPort;
    const uint32_t outer = port::UdpOuterBytes(to.family);
    WriteOuter({to, 1, tos}, destination, payload, packet->data);
    packet->len = outer + payload;
    packet->inner_offset = static_cast<uint16_t>(outer);
    packet->outer_l4_offset = static_cast<uint16_t>(outer - 8);
    for (uint32_t i = 0; i < payload; ++i)
      packet->data[outer + i] = static_cast<uint8_t>(number * 3 + i);
    base::StoreBe32(packet->data + outer, number);
    return packet;
  }
  uint32_t ReceiveSome(UdpPort& port, pkt::Batch& batch) {
    pollfd waiting{port.wait_fd(), POLLIN, 0};
    poll(&waiting, 1, 30'000);
    return port.Receive(batch, received_);
  }
  // Until so many have come, into the batch or to nothing.
  void ReceiveAll(UdpPort& port, pkt::Batch& batch, uint64_t wanted) {
    for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
         batch.count + received_.rx_packets.Read() < wanted && base::MonotonicNs() < end;)
      port.Receive(batch, received_);
  }
  uint64_t Dropped(const pkt::LaneCounters& counters, pkt::DropReason reason) {
    return counters.drops[static_cast<int>(reason)].Read();
  }

  pkt::LaneCounters sent_, received_;
};

TEST_F(UdpPortTest, CarriesBothFamiliesInOrderAndWholeWithMixedSizes) {
  auto a = Open("127.0.0.1", "fd00::1");
  auto b = Open("127.0.0.2", "fd00::2");
  const UdpAddress to[] = {Ip("127.0.0.2"), Ip("fd00::2")};
  pkt::Batch batch;
  uint32_t expected[2] = {0, 1};
  constexpr uint32_t kPackets = 2048;
  auto payload_of = [](uint32_t number) {
    return number % 192 < 150 ? 1400U : 100 + number % 1300;
  };
  uint32_t got = 0;
  for (uint32_t i = 0; i < kPackets; ++i) {
    batch.Push(Encapsulated(a->pool(), to[i % 2], i, payload_of(i)));
    if (batch.room() != 0) continue;
    a->Transmit(batch, sent_);
    while (got <= i) {
      ASSERT_NE(ReceiveSome(*b, batch), 0U)
          << "after packet " << got << ", sent " << sent_.tx_packets.Read() << ", too big "
          << Dropped(sent_, pkt::DropReason::kTooBig) << ", refused "
          << Dropped(sent_, pkt::DropReason::kTxError);
      for (pkt::Packet* packet : batch) {
        const uint32_t family = packet->data[14] >> 4;
        const uint32_t outer = port::UdpOuterBytes(static_cast<uint8_t>(family));
        uint32_t& number = expected[family == 4 ? 0 : 1];
        ASSERT_EQ(base::LoadBe32(packet->data + outer), number);
        ASSERT_EQ(packet->len, outer + payload_of(number));
        for (uint32_t k = 4; k < packet->len - outer; ++k)
          ASSERT_EQ(packet->data[outer + k], static_cast<uint8_t>(number * 3 + k));
        number += 2;
        ++got;
      }
      pkt::GiveAll(batch);
    }
  }
  EXPECT_EQ(sent_.tx_packets.Read(), kPackets);
  EXPECT_EQ(a->pool().available(), a->pool().frames());
  EXPECT_EQ(b->pool().available(), b->pool().frames());
}

TEST_F(UdpPortTest, MakesUpOuterHeadersThatAreRightInEveryField) {
  auto a = Open("127.0.0.1", "fd00::1");
  auto b = Open("127.0.0.2", "fd00::2");
  pkt::Batch batch;
  batch.Push(Encapsulated(a->pool(), Ip("127.0.0.2"), 1, 60, 0xb9));
  a->Transmit(batch, sent_);
  ASSERT_EQ(ReceiveSome(*b, batch), 1U);
  const uint8_t* p = batch.items[0]->data;
  EXPECT_EQ(base::LoadBe16(p + 12), 0x0800);
  EXPECT_TRUE(net::Ipv4::ChecksumRight(p + 14));
  EXPECT_EQ(net::Ipv4::TotalBytes(p + 14), 88U);
  EXPECT_EQ(net::Ipv4::Tos(p + 14), 0xb9) << "DSCP and ECN of the outer packet reach the path";
  EXPECT_EQ(base::LoadBe32(p + 26), 0x7f000001U);
  EXPECT_EQ(base::LoadBe32(p + 30), 0x7f000002U);
  EXPECT_EQ(base::LoadBe16(p + 34), kPort);
  EXPECT_EQ(base::LoadBe16(p + 36), kPort);
  EXPECT_EQ(base::LoadBe16(p + 38), 68);
  EXPECT_EQ(base::LoadBe16(p + 40), 0);
  pkt::GiveAll(batch);

  batch.Push(Encapsulated(a->pool(), Ip("fd00::2"), 1, 60, 0x03));
  a->Transmit(batch, sent_);
  ASSERT_EQ(ReceiveSome(*b, batch), 1U);
  p = batch.items[0]->data;
  EXPECT_EQ(base::LoadBe16(p + 12), 0x86dd);
  EXPECT_EQ(net::Ipv6::TotalBytes(p + 14), 108U);
  EXPECT_EQ(net::Ipv6::Tos(p + 14), 0x03);
  EXPECT_EQ(std::memcmp(p + 14 + 8, Ip("fd00::1").bytes.data(), 16), 0);
  EXPECT_EQ(std::memcmp(p + 14 + 24, Ip("fd00::2").bytes.data(), 16), 0);
  pkt::GiveAll(batch);
}

TEST_F(UdpPortTest, SendsOneSegmentedMessageWhereItCanAndPlainDatagramsToAPlainSocketAllTheSame) {
  auto a = Open("127.0.0.1", "fd00::1");
  ASSERT_NE(a->description().find("segmented sends"), std::string::npos) << a->description();
  base::UniqueFd plain(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(0x7f000003);
  ASSERT_EQ(bind(plain.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  pkt::Batch batch;
  for (uint32_t i = 0; i < 40; ++i)
    batch.Push(Encapsulated(a->pool(), Ip("127.0.0.3"), i, i == 39 ? 77 : 1000));
  a->Transmit(batch, sent_);
  for (uint32_t i = 0; i < 40; ++i) {
    uint8_t datagram[2000];
    pollfd waiting{plain.get(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 30'000), 1) << i;
    const ssize_t n = recv(plain.get(), datagram, sizeof datagram, MSG_DONTWAIT);
    ASSERT_EQ(n, i == 39 ? 77 : 1000);
    ASSERT_EQ(base::LoadBe32(datagram), i);
  }
  EXPECT_EQ(sent_.tx_packets.Read(), 40U);
}

TEST_F(UdpPortTest, WorksTheSameWithoutSegmentation) {
  auto a = Open("127.0.0.1", "fd00::1", false);
  auto b = Open("127.0.0.2", "fd00::2", false);
  EXPECT_NE(a->description().find("single sends, single receives"), std::string::npos)
      << a->description();
  pkt::Batch batch;
  for (uint32_t i = 0; i < 64; ++i) batch.Push(Encapsulated(a->pool(), Ip("127.0.0.2"), i, 500));
  a->Transmit(batch, sent_);
  uint32_t got = 0;
  while (got < 64) {
    ASSERT_NE(ReceiveSome(*b, batch), 0U);
    for (pkt::Packet* packet : batch) ASSERT_EQ(base::LoadBe32(packet->data + 42), got++);
    pkt::GiveAll(batch);
  }
}

TEST_F(UdpPortTest, CountsEachPacketThatItCannotSend) {
  auto a = Open("127.0.0.1", "fd00::1");
  UdpOptions only4;
  only4.local4 = Ip("127.0.0.4");
  auto b = UdpPort::Open(only4);
  ASSERT_TRUE(b.ok());
  pkt::Batch batch;
  batch.Push(Encapsulated((*b)->pool(), Ip("fd00::2"), 0, 100));  // No socket of that family.
  batch.Push(Encapsulated((*b)->pool(), Ip("127.0.0.1"), 1, 100));
  batch.items[1]->inner_offset = 0;  // Not encapsulated.
  batch.Push(Encapsulated((*b)->pool(), Ip("127.0.0.1"), 2, 100));
  batch.items[2]->checksum = pkt::Checksum::kPartial;
  batch.Push(Encapsulated((*b)->pool(), Ip("198.51.100.1"), 3, 100));  // No route.
  batch.Push(Encapsulated((*b)->pool(), Ip("127.0.0.1"), 4, 100));
  (*b)->Transmit(batch, sent_);
  EXPECT_EQ(Dropped(sent_, pkt::DropReason::kTxError), 4U);
  EXPECT_EQ(sent_.tx_packets.Read(), 1U);
  EXPECT_EQ((*b)->pool().available(), (*b)->pool().frames());
  ASSERT_EQ(ReceiveSome(*a, batch), 1U);
  EXPECT_EQ(base::LoadBe32(batch.items[0]->data + 42), 4U);
  pkt::GiveAll(batch);
}

TEST_F(UdpPortTest, DropsDatagramsLongerThanTheMtuAndKeepsTheRestWhenFramesRunOut) {
  auto big = UdpPort::Open({.local4 = Ip("127.0.0.1"), .local6 = {}, .device = "", .mtu = 9000});
  auto small = UdpPort::Open({.local4 = Ip("127.0.0.2"), .local6 = {}, .device = "", .frames = 16});
  ASSERT_TRUE(big.ok() && small.ok());
  pkt::Batch batch;
  batch.Push(Encapsulated((*big)->pool(), Ip("127.0.0.2"), 0, 4000));
  (*big)->Transmit(batch, sent_);
  EXPECT_EQ(ReceiveSome(**small, batch), 0U);
  EXPECT_EQ(Dropped(received_, pkt::DropReason::kRxTruncated), 1U);
  EXPECT_EQ(received_.rx_packets.Read(), 1U);

  for (uint32_t i = 0; i < 20; ++i)
    batch.Push(Encapsulated((*big)->pool(), Ip("127.0.0.2"), i, 200));
  (*big)->Transmit(batch, sent_);
  ReceiveAll(**small, batch, 1 + 16);
  ASSERT_EQ(batch.count, 16U);
  ASSERT_EQ((*small)->Receive(batch, received_), 0U) << "as many as there are frames";
  pkt::GiveAll(batch);
  ReceiveAll(**small, batch, 1 + 4);
  ASSERT_EQ(batch.count, 4U) << "the rest, once frames are back";
  EXPECT_EQ(base::LoadBe32(batch.items[3]->data + 42), 19U);
  pkt::GiveAll(batch);
}

TEST_F(UdpPortTest, HandsOverLongDatagramsWholeWhenAskedUntilItsBuffersAreOut) {
  auto big = UdpPort::Open({.local4 = Ip("127.0.0.1"), .local6 = {}, .device = "", .mtu = 9000});
  auto small =
      UdpPort::Open({.local4 = Ip("127.0.0.2"), .local6 = {}, .device = "", .whole = true});
  ASSERT_TRUE(big.ok() && small.ok());
  pkt::Batch batch;
  for (uint32_t i = 0; i < 40; ++i)
    batch.Push(Encapsulated((*big)->pool(), Ip("127.0.0.2"), i, 4000 + i));
  (*big)->Transmit(batch, sent_);
  ReceiveAll(**small, batch, 40);
  ASSERT_EQ(batch.count, 24U);
  for (uint32_t i = 0; i < batch.count; ++i) {
    ASSERT_EQ(batch.items[i]->len, 42 + 4000 + i);
    ASSERT_EQ(base::LoadBe32(batch.items[i]->data + 42), i);
  }
  EXPECT_EQ(Dropped(received_, pkt::DropReason::kRxTruncated), 16U);
  pkt::GiveAll(batch);
  batch.Push(Encapsulated((*big)->pool(), Ip("127.0.0.2"), 7, 4000));
  (*big)->Transmit(batch, sent_);
  ASSERT_EQ(ReceiveSome(**small, batch), 1U) << "once buffers are back";
  pkt::GiveAll(batch);
}

// rst-b is the other interface: what is sent on rst-a arrives there, for an address of this host.
TEST_F(UdpPortTest, DropsWhatCameInThroughAnotherInterfaceAndAnswersNothing) {
  for (const char* command :
       {"ip addr add 192.168.77.1/24 dev rst-a", "ip link set rst-b address 02:00:00:00:00:01",
        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.rst-b.rp_filter=0"})
    ASSERT_TRUE(test::NetSandbox::Run(command));
  UdpOptions options;
  options.local4 = Ip("192.168.77.1");
  options.port = test::kVxlanPort;
  options.device = "rst-a";
  auto ours = UdpPort::Open(options);
  ASSERT_TRUE(ours.ok()) << ours.error().op << ": " << ours.error().detail;
  test::Wire wire("rst-a"), other("rst-b");
  ASSERT_TRUE(wire.bound() && other.bound());
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(wire.Send(test::VxlanFrame(i)));
  pkt::Batch batch;
  for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
       received_.rx_packets.Read() < 3 && base::MonotonicNs() < end;)
    EXPECT_EQ(ReceiveSome(**ours, batch), 0U);
  EXPECT_EQ(Dropped(received_, pkt::DropReason::kWrongInterface), 3U);
  EXPECT_EQ(received_.rx_packets.Read(), 3U);
  // The right one.
  ASSERT_TRUE(test::NetSandbox::Run("ip link set rst-a address 02:00:00:00:00:01"));
  ASSERT_TRUE(other.Send(test::VxlanFrame(3)));
  EXPECT_EQ(ReceiveSome(**ours, batch), 1U);
  pkt::GiveAll(batch);
}

TEST_F(UdpPortTest, OfTwoWorkersEachPeerHasOneAndBothHavePeers) {
  constexpr uint32_t kPeers = 32, kEach = 8;
  std::vector<std::unique_ptr<UdpPort>> workers;
  for (uint32_t worker = 0; worker < 2; ++worker) {
    UdpOptions options;
    options.local4 = Ip("127.0.0.1");
    options.share = {worker, 2};
    auto opened = UdpPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().detail;
    workers.push_back(std::move(opened).value());
  }
  for (uint32_t peer = 0; peer < kPeers; ++peer) {
    const std::string address = "127.0.1." + std::to_string(peer + 1);
    auto port = UdpPort::Open({.local4 = Ip(address.c_str()), .local6 = {}});
    ASSERT_TRUE(port.ok()) << port.error().detail;
    pkt::Batch batch;
    for (uint32_t i = 0; i < kEach; ++i)
      batch.Push(Encapsulated((*port)->pool(), Ip("127.0.0.1"), i, 200));
    (*port)->Transmit(batch, sent_);
  }
  EXPECT_EQ(sent_.tx_packets.Read(), kPeers * kEach);
  std::map<uint32_t, uint32_t> of_peer[2];
  uint32_t arrived = 0;
  for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
       arrived < kPeers * kEach && base::MonotonicNs() < end;) {
    for (uint32_t worker = 0; worker < 2; ++worker) {
      pkt::Batch batch;
      arrived += workers[worker]->Receive(batch, received_);
      for (const pkt::Packet* packet : batch) ++of_peer[worker][base::LoadBe32(packet->data + 26)];
      pkt::GiveAll(batch);
    }
  }
  for (const auto& peers : of_peer) EXPECT_FALSE(peers.empty()) << "a worker without peers";
  EXPECT_EQ(of_peer[0].size() + of_peer[1].size(), kPeers);
  for (const auto& peers : of_peer) {
    for (const auto& [peer, packets] : peers) EXPECT_EQ(packets, kEach) << std::hex << peer;
  }
}

TEST_F(UdpPortTest, SaysWhoMayHoldThePort) {
  auto a = Open("127.0.0.1", "fd00::1");
  UdpOptions options;
  options.local4 = Ip("127.0.0.1");
  auto second = UdpPort::Open(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, "UDP_SOCKET_FAILED");
  EXPECT_NE(second.error().detail.find("127.0.0.1 port 8285: another program holds the port"),
            std::string::npos)
      << second.error().detail;
}

}  // namespace
