// Two owners of one TUN device and of one UDP port: which of them the kernel gives what comes.
#include "port/handover.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port/tun_device.h"
#include "port/udp_socket.h"
#include "sandboxed.h"

namespace {

using port::GiveDeviceTo;
using port::GivePortTo;
using port::Turn;

constexpr int kFlows = 32;  // Enough that a hash would give each owner some.

// Reads until `wanted` have come, and then what else there is.
int Drain(int fd, int wanted) {
  char buffer[2048];
  int count = 0;
  for (;;) {
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, count < wanted ? 30'000 : 0) != 1) return count;
    if (read(fd, buffer, sizeof buffer) <= 0) return count;
    ++count;
  }
}

// One datagram from each of several sockets.
void SendFlows(const char* address, uint16_t to_port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(to_port);
  inet_pton(AF_INET, address, &to.sin_addr);
  for (int flow = 0; flow < kFlows; ++flow) {
    const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(sendto(fd.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
  }
}

class HandoverTest : public test::Sandboxed<> {
 protected:
  static port::TunDevice Tun(bool handover = true) {
    port::TunDeviceOptions options;
    options.name = "rst-tun";
    options.ethernet = false;
    options.handover = handover;
    auto made = port::MakeTunDevice(options);
    EXPECT_TRUE(made.ok()) << made.error().op << ": " << made.error().detail;
    return made.ok() ? std::move(made).value() : port::TunDevice{};
  }
  static port::UdpSocket Udp() {
    auto made = port::UdpSocket::Open(
        {port::UdpAddress::Ip4(htonl(INADDR_LOOPBACK)), 8285, "", false, true});
    EXPECT_TRUE(made.ok()) << made.error().op << ": " << made.error().detail;
    return made.ok() ? std::move(made).value() : port::UdpSocket{};
  }
};

TEST_F(HandoverTest, ADeviceGivesAllToItsOwnerThenToTheSuccessorAndToThatOnesSuccessor) {
  port::TunDevice owner = Tun();
  EXPECT_FALSE(owner.joined);
  ASSERT_TRUE(test::NetSandbox::Run("ip addr add 10.9.0.1/24 dev rst-tun"));
  for (int generation = 0; generation < 3; ++generation) {
    port::TunDevice successor = Tun();
    EXPECT_TRUE(successor.joined);
    SendFlows("10.9.0.2", 9);
    EXPECT_EQ(Drain(owner.fd.get(), kFlows), kFlows);
    EXPECT_EQ(Drain(successor.fd.get(), 0), 0);
    ASSERT_TRUE(GiveDeviceTo(Turn::kSuccessor, successor.fd.get()).ok());
    SendFlows("10.9.0.2", 9);
    EXPECT_EQ(Drain(successor.fd.get(), kFlows), kFlows);
    EXPECT_EQ(Drain(owner.fd.get(), 0), 0);
    owner = std::move(successor);  // The old descriptor is closed.
    SendFlows("10.9.0.2", 9);
    EXPECT_EQ(Drain(owner.fd.get(), kFlows), kFlows);
  }
}

TEST_F(HandoverTest, ADeviceOfAnOwnerThatSharesWithNobodyIsRefused) {
  const port::TunDevice owner = Tun(false);
  port::TunDeviceOptions options;
  options.name = "rst-tun";
  options.ethernet = false;
  options.handover = true;
  const auto refused = port::MakeTunDevice(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "TAP_CREATE_FAILED");
}

TEST_F(HandoverTest, APortGivesAllToItsOwnerThenToTheSuccessorAndToThatOnesSuccessor) {
  ASSERT_TRUE(test::NetSandbox::Run("ip link set lo up"));
  port::UdpSocket owner = Udp();
  for (int generation = 0; generation < 3; ++generation) {
    port::UdpSocket successor = Udp();
    ASSERT_TRUE(GivePortTo(Turn::kPredecessor, successor.fd.get()).ok());
    SendFlows("127.0.0.1", 8285);
    EXPECT_EQ(Drain(owner.fd.get(), kFlows), kFlows);
    EXPECT_EQ(Drain(successor.fd.get(), 0), 0);
    ASSERT_TRUE(GivePortTo(Turn::kSuccessor, successor.fd.get()).ok());
    SendFlows("127.0.0.1", 8285);
    EXPECT_EQ(Drain(successor.fd.get(), kFlows), kFlows);
    EXPECT_EQ(Drain(owner.fd.get(), 0), 0);
    owner = std::move(successor);
    SendFlows("127.0.0.1", 8285);
    EXPECT_EQ(Drain(owner.fd.get(), kFlows), kFlows);
  }
}

}  // namespace
