// The TUN port against the kernel's own stack in a namespace: super-packets out of a real TCP
// socket, packets into a real UDP socket.
#include "port/tun_port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <map>

#include "base/endian.h"
#include "net/ipv4.h"
#include "net/udp.h"
#include "sandboxed.h"

namespace {

using port::TunOptions;
using port::TunPort;

class TunPortTest : public test::Sandboxed<> {
 protected:
  void Prepare() override {
    TunOptions options;
    options.name = "rst-tun";
    options.mtu = 1400;
    auto opened = TunPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    port_ = std::move(opened).value();
    ASSERT_TRUE(test::NetSandbox::Run("ip addr add 10.9.0.1/24 dev rst-tun"));
  }
  uint32_t ReceiveSome(pkt::Batch& batch) {
    pollfd waiting{port_->wait_fd(), POLLIN, 0};
    poll(&waiting, 1, 30'000);
    return port_->Receive(batch, counters_);
  }
  static sockaddr_in Address(uint32_t ip, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(ip);
    address.sin_port = htons(port);
    return address;
  }

  std::unique_ptr<TunPort> port_;
  pkt::LaneCounters counters_;
};

TEST_F(TunPortTest, PutsAnEthernetHeaderBeforeWhatTheStackSends) {
  base::UniqueFd udp(socket(AF_INET, SOCK_DGRAM, 0));
  const sockaddr_in to = Address(0x0a090002, 7000);
  const char text[] = "through the tunnel";
  ASSERT_EQ(
      sendto(udp.get(), text, sizeof text, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
      static_cast<ssize_t>(sizeof text));
  pkt::Batch batch;
  ASSERT_EQ(ReceiveSome(batch), 1U);
  const pkt::Packet* packet = batch.items[0];
  EXPECT_EQ(base::LoadBe16(packet->data + 12), 0x0800);
  EXPECT_TRUE(net::Ipv4::ChecksumRight(packet->data + 14));
  EXPECT_EQ(base::LoadBe32(packet->data + 30), 0x0a090002U);
  EXPECT_EQ(packet->len, 14 + 28 + sizeof text);
  EXPECT_EQ(std::memcmp(packet->data + 42, text, sizeof text), 0);
  ASSERT_EQ(packet->checksum, pkt::Checksum::kPartial);
  EXPECT_EQ(packet->csum_start, 34) << "counted from the made-up Ethernet header";
  pkt::GiveAll(batch);
}

TEST_F(TunPortTest, OfTwoWorkersEachFlowHasOneAndBothHaveFlows) {
  constexpr uint32_t kFlows = 32, kEach = 8;
  std::vector<std::unique_ptr<TunPort>> workers;
  for (uint32_t worker = 0; worker < 2; ++worker) {
    TunOptions options;
    options.name = "rst-two";
    options.mtu = 1400;
    options.share = {worker, 2};
    auto opened = TunPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    workers.push_back(std::move(opened).value());
  }
  ASSERT_TRUE(test::NetSandbox::Run("ip addr add 10.8.0.1/24 dev rst-two"));
  for (uint32_t flow = 0; flow < kFlows; ++flow) {
    base::UniqueFd udp(socket(AF_INET, SOCK_DGRAM, 0));
    const sockaddr_in to = Address(0x0a080002, static_cast<uint16_t>(7000 + flow));
    for (uint32_t i = 0; i < kEach; ++i) {
      ASSERT_EQ(
          sendto(udp.get(), "packet", 6, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 6);
    }
  }
  std::map<uint16_t, uint32_t> of_flow[2];
  for (uint32_t worker = 0; worker < 2; ++worker) {
    for (pkt::Batch batch; workers[worker]->Receive(batch, counters_) != 0; pkt::GiveAll(batch)) {
      for (const pkt::Packet* packet : batch) ++of_flow[worker][base::LoadBe16(packet->data + 36)];
    }
    EXPECT_FALSE(of_flow[worker].empty()) << "worker " << worker << " has no flow";
  }
  EXPECT_EQ(of_flow[0].size() + of_flow[1].size(), kFlows);
  for (const auto& flows : of_flow) {
    for (const auto& [flow, packets] : flows) EXPECT_EQ(packets, kEach) << flow;
  }
}

TEST_F(TunPortTest, GivesPacketsToTheStackWhichFillsPartialChecksums) {
  base::UniqueFd udp(socket(AF_INET, SOCK_DGRAM, 0));
  const sockaddr_in here = Address(0x0a090001, 7000);
  ASSERT_EQ(bind(udp.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
  pkt::Batch batch;
  for (uint32_t i = 0; i < 3; ++i) {
    pkt::Packet* packet = port_->pool().Take();
    uint8_t* p = packet->data;
    std::memset(p, 0, 42 + 100);
    packet->len = 42 + 100;
    base::StoreBe16(p + 12, 0x0800);
    p[14] = 0x45;
    base::StoreBe16(p + 16, 128);
    p[22] = 64;
    p[23] = 17;
    base::StoreBe32(p + 26, 0x0a090002);
    base::StoreBe32(p + 30, 0x0a090001);
    net::Ipv4::FillHeaderChecksum(p + 14);
    base::StoreBe16(p + 34, 9);
    base::StoreBe16(p + 36, 7000);
    base::StoreBe16(p + 38, 108);
    const uint64_t pseudo = net::PseudoSum<net::Ipv4>(p + 14, 17, 108);
    base::StoreBe32(p + 42, i);
    // Partial, whole and wrong, in this order: the stack must refuse the last.
    if (i == 0) {
      base::Store(p + 40, net::Fold(pseudo));
      packet->checksum = pkt::Checksum::kPartial;
      packet->csum_start = 34;
      packet->csum_offset = 6;
    } else {
      base::Store(p + 40, static_cast<uint16_t>(net::FinishUdp(net::Sum(p + 34, 108, pseudo)) ^
                                                (i == 2 ? 1 : 0)));
    }
    batch.Push(packet);
  }
  port_->Transmit(batch, counters_);
  EXPECT_EQ(counters_.tx_packets.Read(), 3U);
  for (uint32_t i = 0; i < 2; ++i) {
    uint8_t datagram[200];
    pollfd waiting{udp.get(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 30'000), 1);
    ASSERT_EQ(recv(udp.get(), datagram, sizeof datagram, MSG_DONTWAIT), 100);
    EXPECT_EQ(base::LoadBe32(datagram), i);
  }
  pollfd waiting{udp.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 50), 0) << "the damaged one must not arrive";
  EXPECT_EQ(port_->pool().available(), port_->pool().frames());
}

// Two TUN devices in one namespace would short-cut through the local table, so the peer is a second
// namespace: the test plays the wire between two ports and a TCP connection runs over it.
TEST_F(TunPortTest, CarriesTcpSuperPacketsWholeBetweenTwoStacks) {
  base::UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in server = Address(0x0a090001, 7001);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(fcntl(listener.get(), F_SETFL, O_NONBLOCK), 0);

  test::NetSandbox far;
  ASSERT_TRUE(far.ready());
  TunOptions options;
  options.name = "rst-far";
  options.mtu = 1400;
  auto opened = TunPort::Open(options);
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(test::NetSandbox::Run("ip addr add 10.9.0.2/24 dev rst-far"));
  base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const int connecting =
      connect(client.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server);
  ASSERT_TRUE(connecting == 0 || errno == EINPROGRESS);

  constexpr uint64_t kBytes = 4 << 20;
  std::vector<uint8_t> data(kBytes), got;
  for (uint64_t i = 0; i < kBytes; ++i) data[i] = static_cast<uint8_t>(i * 31 >> 3);
  uint64_t sent = 0;
  uint32_t longest = 0;
  base::UniqueFd accepted;
  pkt::Batch batch;
  while (got.size() < kBytes) {
    pollfd waiting[] = {{port_->wait_fd(), POLLIN, 0}, {(*opened)->wait_fd(), POLLIN, 0}};
    poll(waiting, 2, 20);
    (*opened)->Receive(batch, counters_);
    for (const pkt::Packet* packet : batch) longest = std::max(longest, packet->len);
    port_->Transmit(batch, counters_);
    port_->Receive(batch, counters_);
    (*opened)->Transmit(batch, counters_);
    const ssize_t n =
        send(client.get(), data.data() + sent, kBytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<uint64_t>(n);
    if (!accepted.valid()) accepted.Reset(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    if (!accepted.valid()) continue;
    uint8_t piece[65536];
    const ssize_t r = recv(accepted.get(), piece, sizeof piece, MSG_DONTWAIT);
    if (r > 0) got.insert(got.end(), piece, piece + r);
  }
  EXPECT_EQ(std::memcmp(got.data(), data.data(), kBytes), 0);
  EXPECT_GT(longest, 10000U) << "super-packets crossed whole";
  EXPECT_EQ(counters_.drops[static_cast<int>(pkt::DropReason::kTxError)].Read(), 0U);
}

}  // namespace
