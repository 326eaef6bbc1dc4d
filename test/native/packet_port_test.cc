// The AF_PACKET port against a raw socket, and against the kernel's own VXLAN device as sender of
// super-packets.
//
//   [PacketPort on rst-a] ==== veth ==== [rst-b: Wire, or vxlan device rst-vx above it]
#include "port/packet_port.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>

#include "net/checksum.h"
#include "net/ipv4.h"
#include "net/udp.h"
#include "sandboxed.h"
#include "wire.h"

namespace {

using port::PacketOptions;
using port::PacketPort;

constexpr port::EncapsulatedMatch kMatch{test::kVxlanPort, true, test::kVni};

class PacketPortTest : public test::Sandboxed<> {
 protected:
  std::unique_ptr<PacketPort> Open(const char* device,
                                   std::optional<port::EncapsulatedMatch> match) {
    PacketOptions options;
    options.device = device;
    options.match = match;
    auto opened = PacketPort::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    return opened.ok() ? std::move(opened).value() : nullptr;
  }
  uint32_t ReceiveSome(PacketPort& port, pkt::Batch& batch) {
    pollfd waiting{port.wait_fd(), POLLIN, 0};
    poll(&waiting, 1, 30'000);
    return port.Receive(batch, counters_);
  }
  uint64_t Dropped(pkt::DropReason reason) {
    return counters_.drops[static_cast<int>(reason)].Read();
  }

  pkt::LaneCounters counters_;
};

// Frames to our own MAC, as PACKET_HOST wants.
test::Frame ToHost(test::Frame frame, const char* device) {
  char path[64];
  std::snprintf(path, sizeof path, "ip -br link show %s", device);
  FILE* pipe = popen(path, "r");
  unsigned mac[6] = {};
  EXPECT_EQ(std::fscanf(pipe, "%*s %*s %x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4,
                        mac + 5),
            6);
  pclose(pipe);
  for (int i = 0; i < 6; ++i) frame[static_cast<size_t>(i)] = static_cast<uint8_t>(mac[i]);
  return frame;
}

TEST_F(PacketPortTest, ReceivesTwoThousandFramesInOrderAndWhole) {
  auto port = Open("rst-a", kMatch);
  test::Wire wire("rst-b");
  const test::Frame first = ToHost(test::VxlanFrame(0), "rst-a");
  pkt::Batch batch;
  uint32_t sent = 0;
  for (uint32_t expected = 0; expected < 2000;) {
    // Fewer than wait in a CPU's backlog.
    for (; sent < 2000 && sent - expected < 200; ++sent) {
      test::Frame frame = test::VxlanFrame(sent, 4 + sent % 1400);
      std::memcpy(frame.data(), first.data(), 6);
      ASSERT_TRUE(wire.Send(frame));
    }
    ASSERT_NE(ReceiveSome(*port, batch), 0U);
    for (pkt::Packet* packet : batch) {
      test::Frame want = test::VxlanFrame(expected, 4 + expected % 1400);
      std::memcpy(want.data(), first.data(), 6);
      ASSERT_EQ(packet->len, want.size());
      ASSERT_EQ(std::memcmp(packet->data, want.data(), want.size()), 0);
      EXPECT_EQ(packet->headroom(), pkt::kHeadroomBytes);
      ++expected;
    }
    pkt::GiveAll(batch);
  }
  EXPECT_EQ(port->statistics().rx_kernel_drops, 0U);
  port.reset();
}

TEST_F(PacketPortTest, LetsOnlyOurUnfragmentedEncapsulationThrough) {
  auto port = Open("rst-a", kMatch);
  test::Wire wire("rst-b");
  const test::Frame good = ToHost(test::VxlanFrame(9), "rst-a");
  test::Frame wrong_mac = good;
  wrong_mac[5] ^= 1;
  test::Frame wrong_vni = good;
  wrong_vni[48] ^= 1;
  test::Frame wrong_port = good;
  wrong_port[37] ^= 1;
  test::Frame fragment = good;
  fragment[20] = 0x20;
  test::Frame tcp = good;
  tcp[23] = 6;
  test::Frame options = good;
  options[14] = 0x46;
  const test::Frame shorter(good.begin(), good.begin() + 40);
  for (const test::Frame& frame :
       {wrong_mac, wrong_vni, wrong_port, fragment, tcp, options, shorter, good})
    ASSERT_TRUE(wire.Send(frame));
  pkt::Batch batch;
  ASSERT_EQ(ReceiveSome(*port, batch), 1U);
  EXPECT_EQ(std::memcmp(batch.items[0]->data, good.data(), good.size()), 0);
  pkt::GiveAll(batch);
}

TEST_F(PacketPortTest, SendsFromAnyPoolAndGivesEachPacketBack) {
  auto port = Open("rst-a", kMatch);
  test::Wire wire("rst-b");
  auto foreign = pkt::FramePool::Create(64, 2048);
  ASSERT_TRUE(foreign.ok());
  pkt::Batch batch;
  for (uint32_t i = 0; i < 64; ++i) {
    pkt::Packet* packet = (*foreign)->Take();
    const test::Frame frame = test::VxlanFrame(i);
    packet->len = static_cast<uint32_t>(frame.size());
    std::memcpy(packet->data, frame.data(), frame.size());
    batch.Push(packet);
  }
  batch.items[10]->len = 1600;  // Longer than the device takes: only this one is refused.
  port->Transmit(batch, counters_);
  EXPECT_EQ((*foreign)->available(), 64U);
  EXPECT_EQ(counters_.tx_packets.Read(), 63U);
  EXPECT_EQ(Dropped(pkt::DropReason::kTooBig) + Dropped(pkt::DropReason::kTxError), 1U);
  for (uint32_t i = 0; i < 64; ++i) {
    if (i == 10) continue;
    const auto got = wire.Read();
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(*got, test::VxlanFrame(i));
  }
}

// Ethernet, IPv4, TCP with `payload` bytes and a partial checksum: what a TSO socket hands to its
// device.
void FillSuperPacket(pkt::Packet* packet, const test::Frame& vtep, uint32_t payload, uint16_t mss) {
  packet->len = 54 + payload;
  uint8_t* p = packet->data;
  std::memset(p, 0, packet->len);
  std::memcpy(p, vtep.data(), 6);
  p[6] = 2;
  base::StoreBe16(p + 12, ETH_P_IP);
  p[14] = 0x45;
  base::StoreBe16(p + 16, static_cast<uint16_t>(40 + payload));
  base::StoreBe16(p + 20, 0x4000);
  p[22] = 64;
  p[23] = 6;
  base::StoreBe32(p + 26, 0x0af40102);
  base::StoreBe32(p + 30, 0x0af40202);
  net::Ipv4::FillHeaderChecksum(p + 14);
  base::StoreBe16(p + 34, 1000);
  base::StoreBe16(p + 36, 2000);
  p[46] = 0x50;
  p[47] = 0x10;
  for (uint32_t i = 0; i < payload; ++i) p[54 + i] = static_cast<uint8_t>(i * 7);
  base::Store(p + 50, net::Fold(net::PseudoSum<net::Ipv4>(p + 14, 6, 20 + payload)));
  packet->gso = pkt::Gso::kTcp4;
  packet->gso_size = mss;
  packet->checksum = pkt::Checksum::kPartial;
  packet->csum_start = 34;
  packet->csum_offset = 16;
  packet->segments = static_cast<uint16_t>((payload + mss - 1) / mss);
}

TEST_F(PacketPortTest, ReceivesASuperPacketThatTheKernelsVxlanDeviceEncapsulatedAsOne) {
  const test::Frame to_a = ToHost(test::Frame(6), "rst-a");
  char neighbor[160];
  std::snprintf(neighbor, sizeof neighbor,
                "ip neigh add 192.168.77.1 lladdr %02x:%02x:%02x:%02x:%02x:%02x dev rst-b", to_a[0],
                to_a[1], to_a[2], to_a[3], to_a[4], to_a[5]);
  ASSERT_TRUE(test::NetSandbox::Run("ip addr add 192.168.77.2/24 dev rst-b"));
  ASSERT_TRUE(test::NetSandbox::Run(neighbor));
  ASSERT_TRUE(
      test::NetSandbox::Run("ip link add rst-vx type vxlan id 1 dstport 8472 local 192.168.77.2 "
                            "remote 192.168.77.1 dev rst-b nolearning"));
  ASSERT_TRUE(test::NetSandbox::Run("ip link set rst-vx up"));
  auto underlay = Open("rst-a", kMatch);
  auto overlay = Open("rst-vx", std::nullopt);
  pkt::Batch batch;
  pkt::Packet* packet = overlay->pool().Take();
  FillSuperPacket(packet, test::Frame(6, 0x02), 30000, 1398);
  const std::vector<uint8_t> sent(packet->data, packet->data + packet->len);
  batch.Push(packet);
  overlay->Transmit(batch, counters_);
  EXPECT_EQ(counters_.tx_packets.Read(), 22U) << "a super-packet counts as its segments";
  ASSERT_EQ(counters_.tx_frames.Read(), 1U);

  ASSERT_EQ(ReceiveSome(*underlay, batch), 1U);
  pkt::Packet* got = batch.items[0];
  EXPECT_EQ(got->len, 50 + sent.size()) << "whole, not segmented";
  EXPECT_EQ(got->gso, pkt::Gso::kTcp4);
  EXPECT_EQ(got->gso_size, 1398);
  EXPECT_EQ(got->checksum, pkt::Checksum::kPartial);
  EXPECT_EQ(got->csum_start, 50 + 34) << "points at the inner TCP header";
  EXPECT_EQ(std::memcmp(got->data + 50, sent.data(), sent.size()), 0);
  pkt::GiveAll(batch);
  ASSERT_TRUE(test::NetSandbox::Run("ip link del rst-vx"));
}

TEST_F(PacketPortTest, NamesADeviceThatDoesNotExist) {
  PacketOptions options;
  options.device = "rst-none";
  auto opened = PacketPort::Open(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, "PACKET_SOCKET_FAILED");
}

}  // namespace
