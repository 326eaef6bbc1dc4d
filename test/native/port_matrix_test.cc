// Every kind of port on either side with every kind on the other: a worker of ours between a kernel
// stack and a kernel VXLAN peer, bulk TCP and small UDP both ways, every byte compared, every
// packet accounted for.
//   stack - overlay port - worker - underlay port - cable - kernel VXLAN - stack
#include "base/clock.h"
#include "engine/worker.h"
#include "port/memory_port.h"
#include "port/net_device.h"
#include "port/packet_port.h"
#include "port/pcap_port.h"
#include "port/tap_port.h"
#include "port/tun_port.h"
#include "port/udp_port.h"
#include "port/xdp_port.h"
#include "port_bench.h"
#include "steer/steering.h"
#include "table_builder.h"

namespace {

using port_bench::Bench;
using testing_node::TableBuilder;

constexpr uint64_t kBulk = 4 << 20;
constexpr uint32_t kSmall = 1000;
constexpr uint32_t kReplayed = 200;  // At once: few enough for every queue on the way.

struct Combination {
  const char* overlay;
  const char* underlay;
  int family = 4;  // Of the underlay.
};

class PortMatrix : public ::testing::TestWithParam<Combination> {
 protected:
  void SetUp() override {
    if (const std::string missing = test::NetSandbox::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    bench_.emplace(family());
    ASSERT_TRUE(bench_->ready());
    ASSERT_NO_FATAL_FAILURE(OpenUnderlay(GetParam().underlay));
    ASSERT_NO_FATAL_FAILURE(OpenOverlay(GetParam().overlay));
    fwd::Format format;
    format.unfilled_checksums = unfilled_;
    TableBuilder table(1);
    table.AddPeer(2, 4, family());
    publisher_.Publish(table.Build(format));
    auto made = engine::Worker::Create({}, *overlay_, *underlay_, publisher_);
    ASSERT_TRUE(made.ok()) << made.error().detail;
    worker_ = std::move(made).value();
  }
  void TearDown() override {
    if (worker_ != nullptr) worker_->Stop();
    pumps_.clear();
    (void)unlink(file_.c_str());
  }

  static int family() { return GetParam().family; }
  template <typename Port>
  std::unique_ptr<port::Port> Opened(base::Result<std::unique_ptr<Port>> opened) {
    EXPECT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    if (!opened.ok()) return nullptr;
    return std::move(opened).value();
  }
  std::unique_ptr<port::Port> OpenPacket(const char* device, bool encapsulated) {
    port::PacketOptions options;
    options.device = device;
    if (encapsulated) options.match = port::EncapsulatedMatch{8472, true, 1};
    return Opened(port::PacketPort::Open(options));
  }
  std::unique_ptr<port::Port> OpenTap(const char* device, uint32_t mtu) {
    port::TapOptions options;
    options.name = device;
    options.mtu = mtu;
    options.tunnel_gso = true;
    return Opened(port::TapPort::Open(options));
  }
  std::unique_ptr<port::Port> OpenTun(const char* device, uint32_t mtu) {
    port::TunOptions options;
    options.name = device;
    options.mtu = mtu;
    return Opened(port::TunPort::Open(options));
  }
  // Both sides use the programs of one object, as a data plane does.
  void LoadSteering() {
    if (steering_ != nullptr) return;
    auto loaded = steer::Steering::Load();
    EXPECT_TRUE(loaded.ok());
    steering_ = std::move(loaded).value();
    rs_steer_state& state = steering_->state();
    state.encapsulation = RS_ENCAPSULATION_VXLAN;
    state.vni = 1;
    state.udp_port_be = htons(8472);
    state.local_families = family() == 4 ? RS_LOCAL_IP4 : RS_LOCAL_IP6;
    const port::UdpAddress local = Local();
    std::memcpy(&state.local_ip4_be, local.bytes.data(), family() == 4 ? 4 : 0);
    std::memcpy(state.local_ip6, local.bytes.data(), family() == 6 ? 16 : 0);
    state.workers = 1;
    state.stale_ns = ~uint64_t{0} >> 1;
  }
  std::unique_ptr<port::Port> OpenXdp() {
    LoadSteering();
    // What XDP takes off the cable has to be finished there.
    EXPECT_TRUE(bench_->FinishFramesThere());
    port::XdpOptions options;
    options.device = "ua";
    options.program_fd = steering_->xdp_program();
    options.xskmap_fd = steering_->xsks_map();
    options.umem_queues = 2;
    options.umem = SharedUmem();
    unfilled_ = true;
    return Opened(port::XdpPort::Open(options));
  }
  port::UdpAddress Local() const {
    uint8_t bytes[16];
    EXPECT_EQ(inet_pton(family() == 4 ? AF_INET : AF_INET6, bench_->AddressHere().c_str(), bytes),
              1);
    return family() == 4 ? port::UdpAddress::Ip4(base::Load<uint32_t>(bytes))
                         : port::UdpAddress::Ip6(bytes);
  }
  // With AF_XDP on both sides a frame goes through without a copy.
  std::shared_ptr<xdp::Umem> SharedUmem() {
    if (umem_ == nullptr) umem_ = std::move(xdp::Umem::Create(port::XdpFramesFor(2, 1))).value();
    return umem_;
  }
  std::unique_ptr<port::Port> OpenOverlayXdp(const char* device) {
    LoadSteering();
    port::XdpOptions options;
    options.device = device;
    options.program_fd = steering_->overlay_xdp_program();
    options.xskmap_fd = steering_->overlay_xsks_map();
    options.umem_queues = 2;
    options.umem = SharedUmem();
    return Opened(port::XdpPort::Open(options));
  }
  // One end for the worker; behind the other a pump to a packet socket.
  std::unique_ptr<port::Port> OpenMemory(std::unique_ptr<port::Port> behind, bool super_packets) {
    port::MemoryOptions options;
    options.frame_bytes = 34 * 2048;  // The kernel's super-packets arrive whole on either side.
    options.capabilities.super_packets = super_packets;
    options.capabilities.partial_checksum = super_packets;
    auto pair = port::MemoryPort::OpenPair(options);
    EXPECT_TRUE(pair.ok());
    pumped_.push_back(std::move(behind));
    pumped_.push_back(std::move(pair->second));
    pumps_.push_back(
        std::make_unique<port_bench::Pump>(*pumped_.rbegin()[0], *pumped_.rbegin()[1]));
    return std::move(pair->first);
  }

  // What is sent is written to the file, what is received is read from it.
  std::unique_ptr<port::Port> OpenPcap(bool replay) {
    port::PcapOptions options;
    (replay ? options.replay : options.record) = file_;
    options.frames = 2048;
    return Opened(port::PcapPort::Open(options));
  }
  // Numbered datagrams from our pod to the peer's, as its stack would send them.
  void RecordDatagrams(uint32_t packets) {
    auto port = OpenPcap(false);
    ASSERT_NE(port, nullptr);
    auto pool = std::move(pkt::FramePool::Create(64, 2048)).value();
    pkt::LaneCounters counters;
    const auto from = testing_node::Pod(1, 4), to = testing_node::Pod(2, 4);
    for (uint32_t number = 0; number < packets; ++number) {
      const auto frame = frames::Ethernet(
          testing_node::VtepMac(2), testing_node::VtepMac(1), 0x0800,
          frames::IpPacket({from, to},
                           frames::Udp(from, to, 9, 7001, port_bench::Numbered(number))));
      pkt::Packet* packet = pool->Take();
      std::memcpy(packet->data, frame.data(), frame.size());
      packet->len = static_cast<uint32_t>(frame.size());
      pkt::Batch batch;
      batch.Push(packet);
      port->Transmit(batch, counters);
    }
    EXPECT_EQ(counters.tx_packets.Read(), packets);
  }

  void OpenUnderlay(const std::string& kind) {
    // Behind a bridge the address is the TAP's, not the cable's.
    const std::string mac = kind == "tap" ? "06:00:00:00:00:0f" : port_bench::kHereMac;
    ASSERT_TRUE(bench_->Here("link set ua address " + mac));
    ASSERT_TRUE(bench_->Here("link set ua up"));
    if (kind == "tap") {
      underlay_ = OpenTap("rsu", 1500);
      ASSERT_TRUE(
          bench_->Here("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
      ASSERT_TRUE(bench_->Here("link set ua master br0") &&
                  bench_->Here("link set rsu master br0") && bench_->Here("link set br0 up"));
      ASSERT_TRUE(Bench::Shell(std::string("bridge fdb add ") + port_bench::kHereMac +
                               " dev rsu master static"));
    } else if (kind == "packet") {
      underlay_ = OpenPacket("ua", true);
    } else if (kind == "xdp") {
      underlay_ = OpenXdp();
    } else if (kind == "udp") {
      ASSERT_TRUE(bench_->AddAddressHere());
      // A socket hands over what a local veth brought, unfilled sums of the payload included.
      ASSERT_TRUE(bench_->FinishFramesThere());
      port::UdpOptions options;
      (family() == 4 ? options.local4 : options.local6) = Local();
      options.port = 8472;
      options.device = "ua";
      underlay_ = Opened(port::UdpPort::Open(options));
    } else if (kind == "pcap") {
      underlay_ = OpenPcap(false);
    } else {
      underlay_ = OpenMemory(OpenPacket("ua", true), false);
    }
    ASSERT_NE(underlay_, nullptr);
  }

  void OpenOverlay(const std::string& kind) {
    if (kind == "tap") {
      overlay_ = OpenTap("rso", 1450);
      ASSERT_TRUE(bench_->AddPod("rso"));
    } else if (kind == "tun") {
      overlay_ = OpenTun("rso", 1450);
      ASSERT_TRUE(bench_->AddBarePod("rso"));
    } else if (kind == "pcap") {
      ASSERT_NO_FATAL_FAILURE(RecordDatagrams(kReplayed));
      overlay_ = OpenPcap(true);
    } else {
      ASSERT_TRUE(bench_->Here("link add oa numrxqueues 1 numtxqueues 1 type veth peer name ob "
                               "numrxqueues 1 numtxqueues 1") &&
                  bench_->Here("link set ob mtu " + bench_->Mtu() + " up"));
      ASSERT_TRUE(bench_->AddPod("oa"));
      if (kind == "xdp") ASSERT_TRUE(port::NetDevice("oa").FillChecksums().ok());
      overlay_ = kind == "xdp" ? OpenOverlayXdp("ob") : OpenPacket("ob", false);
      if (kind == "memory") overlay_ = OpenMemory(std::move(overlay_), true);
    }
    ASSERT_NE(overlay_, nullptr);
  }

  static uint64_t Ended(const pkt::LaneCounters& lane) {
    uint64_t ended = lane.tx_packets.Read() + lane.punts.Read() + lane.replies.Read();
    for (const pkt::Counter& drop : lane.drops) ended += drop.Read();
    return ended;
  }
  static std::string Drops(const pkt::LaneCounters& lane) {
    std::string text;
    for (uint32_t why = 0; why < pkt::kDropReasons; ++why) {
      if (const uint64_t n = lane.drops[why].Read(); n != 0)
        text += std::string(pkt::kDropReasonTexts[why].label) + " " + std::to_string(n) + " ";
    }
    return text;
  }

  std::optional<Bench> bench_;
  std::unique_ptr<steer::Steering> steering_;
  std::shared_ptr<xdp::Umem> umem_;
  fwd::Publisher publisher_{1};
  std::vector<std::unique_ptr<port::Port>> pumped_;
  std::vector<std::unique_ptr<port_bench::Pump>> pumps_;
  std::unique_ptr<port::Port> overlay_, underlay_;
  std::unique_ptr<engine::Worker> worker_;
  bool unfilled_ = false;
  const std::string file_ = "/tmp/rst-pm" + std::to_string(getpid()) + ".pcapng";
};

TEST_P(PortMatrix, CarriesBulkTcpAndSmallUdpBothWays) {
  ASSERT_TRUE(worker_->Start().ok());
  EXPECT_EQ(port_bench::SmallUdp(*bench_, true, kSmall), kSmall);
  EXPECT_EQ(port_bench::SmallUdp(*bench_, false, kSmall), kSmall);
  EXPECT_EQ(port_bench::TcpBulk(*bench_, true, kBulk), kBulk);
  EXPECT_EQ(port_bench::TcpBulk(*bench_, false, kBulk), kBulk);
  worker_->Stop();
  const pkt::LaneCounters& out = worker_->encap().counters();
  const pkt::LaneCounters& in = worker_->decap().counters();
  EXPECT_EQ(out.rx_packets.Read(), Ended(out)) << Drops(out);
  EXPECT_EQ(in.rx_packets.Read(), Ended(in)) << Drops(in);
  EXPECT_GE(out.tx_packets.Read(), kSmall + kBulk / 1410) << Drops(out);
  EXPECT_GE(in.tx_packets.Read(), kSmall + kBulk / 1410) << Drops(in);
  if (overlay_->capabilities().super_packets)
    EXPECT_LT(out.rx_frames.Read(), out.rx_packets.Read()) << "no super-packet came whole";
  EXPECT_EQ(worker_->frames_free(), worker_->frames_total());
}

class ReplayMatrix : public PortMatrix {};

TEST_P(ReplayMatrix, WhatAFileHoldsArrivesAtThePeer) {
  std::atomic<uint32_t> arrived{0};
  auto right = port_bench::ReceiveUdp(*bench_, false, kReplayed, arrived);
  ASSERT_TRUE(worker_->Start().ok());
  EXPECT_EQ(right.get(), kReplayed);
  worker_->Stop();
  EXPECT_EQ(worker_->encap().counters().tx_packets.Read(), kReplayed)
      << Drops(worker_->encap().counters());
}
INSTANTIATE_TEST_SUITE_P(Ports, ReplayMatrix,
                         ::testing::Values(Combination{"pcap", "tap"}, Combination{"pcap", "xdp"},
                                           Combination{"pcap", "packet"},
                                           Combination{"pcap", "udp"},
                                           Combination{"pcap", "memory"}),
                         [](const auto& info) {
                           return std::string("pcap_over_") + info.param.underlay;
                         });

class RecordMatrix : public PortMatrix {};

TEST_P(RecordMatrix, WhatThePodSendsStandsEncapsulatedInTheFile) {
  ASSERT_TRUE(worker_->Start().ok());
  auto sent = bench_->In<bool>(true, [] {
    base::UniqueFd fd = port_bench::Bound(SOCK_DGRAM, port_bench::kHerePod, 0);
    const sockaddr_in at = port_bench::At(port_bench::kTherePod, 7001);
    for (uint32_t number = 0; number < kReplayed; ++number) {
      const auto payload = port_bench::Numbered(number);
      if (sendto(fd.get(), payload.data(), payload.size(), 0,
                 reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0)
        return false;
    }
    return true;
  });
  EXPECT_TRUE(sent.get());
  const pkt::LaneCounters& out = worker_->encap().counters();
  for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
       out.tx_packets.Read() < kReplayed && base::MonotonicNs() < end;)
    std::this_thread::yield();
  worker_->Stop();
  EXPECT_EQ(out.rx_packets.Read(), Ended(out)) << Drops(out);
  auto replay = OpenPcap(true);
  pkt::LaneCounters counters;
  uint32_t next = 0;
  for (pkt::Batch batch; replay->Receive(batch, counters) != 0; pkt::GiveAll(batch)) {
    for (const pkt::Packet* packet : batch) {
      const auto payload = port_bench::Numbered(next++);
      ASSERT_EQ(packet->len, 50 + 42 + payload.size());
      ASSERT_EQ(std::memcmp(packet->data + 50 + 42, payload.data(), payload.size()), 0);
    }
  }
  EXPECT_EQ(next, kReplayed);
}
INSTANTIATE_TEST_SUITE_P(
    Ports, RecordMatrix,
    ::testing::Values(Combination{"tap", "pcap"}, Combination{"packet", "pcap"},
                      Combination{"xdp", "pcap"}, Combination{"memory", "pcap"},
                      Combination{"tun", "pcap"}),
    [](const auto& info) { return std::string(info.param.overlay) + "_over_pcap"; });

std::vector<Combination> All() {
  std::vector<Combination> all;
  for (const char* overlay : {"tap", "xdp", "packet", "memory", "tun"}) {
    for (const char* underlay : {"tap", "xdp", "packet", "udp", "memory"})
      all.push_back({overlay, underlay});
  }
  for (const char* underlay : {"tap", "xdp", "packet", "udp", "memory"})
    all.push_back({"tap", underlay, 6});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Ports, PortMatrix, ::testing::ValuesIn(All()), [](const auto& info) {
  return std::string(info.param.overlay) + "_over_" + info.param.underlay +
         (info.param.family == 6 ? "_on_ipv6" : "");
});

}  // namespace
