// The kernel's VXLAN device as oracle: the same frame goes to it, on a real device, and to our
// path. What both carry must be the same bytes; what the kernel refuses we must refuse; what only
// we refuse must stand in the list of docs/decisions/0091.
// RIPSTOP_FRAMES=1000000 asks for the long form, RIPSTOP_SEED repeats a run.
#include <sys/socket.h>

#include <cstdlib>
#include <optional>
#include <random>

#include "node.h"
#include "sandboxed.h"
#include "wire.h"

namespace {

using namespace frames;
using namespace testing_node;
using pkt::DropReason;

constexpr uint32_t kShortForm = 20'000;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class KernelVxlan : public test::Sandboxed<testing::TestWithParam<int>> {
 protected:
  void Prepare() override {
    const std::string vxlan =
        " address 02:00:00:00:00:01 type vxlan id 1 dstport 8472 nolearning dev rst-b ";
    for (const std::string& command :
         {std::string("ip link set rst-a address 06:00:00:00:00:02"),
          std::string("ip link set rst-b address 06:00:00:00:00:01"),
          std::string(
              "sysctl -qw net.ipv6.conf.rst-b.disable_ipv6=0 net.ipv6.conf.rst-b.accept_dad=0 "
              "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.rst-b.rp_filter=0"),
          // What leaves is whole, as a wire would have it.
          std::string("ethtool -K rst-b tx off > /dev/null"),
          std::string("ip addr add 192.0.2.2/24 dev rst-b"),
          std::string("ip addr add 2001:1::1/16 dev rst-b nodad"),
          "ip link add vx4" + vxlan + "local 192.0.2.2 df set noudpcsum",
          "ip link add vx6" + vxlan + "local 2001:1::1 udp6zerocsumrx",
          std::string("ip link set vx4 up"), std::string("ip link set vx6 up"),
          std::string("ip neigh add 192.0.2.3 lladdr 06:00:00:00:00:02 dev rst-b nud permanent"),
          std::string("ip neigh add 2001:2::1 lladdr 06:00:00:00:00:02 dev rst-b nud permanent"),
          std::string("bridge fdb add 02:00:00:00:00:02 dev vx4 dst 192.0.2.3 self permanent"),
          std::string("bridge fdb add 02:00:00:00:00:02 dev vx6 dst 2001:2::1 self permanent")})
      ASSERT_TRUE(test::NetSandbox::Run(command)) << command;
    wire_.emplace("rst-a");
    device_.emplace(outer() == 4 ? "vx4" : "vx6");
    ASSERT_TRUE(wire_->bound() && device_->bound());
    seed_ = FromEnvironment("RIPSTOP_SEED", std::random_device{}());
    random_.seed(static_cast<std::mt19937::result_type>(seed_));
    frames_ = static_cast<uint32_t>(FromEnvironment("RIPSTOP_FRAMES", kShortForm));
  }

  int outer() const { return GetParam(); }
  TableBuilder Table() const {
    TableBuilder table(1);
    for (const int inner : {4, 6}) table.AddPeer(2, inner, outer());
    return table;
  }
  static fwd::Format Format() {
    fwd::Format format;
    format.unfilled_checksums = false;
    return format;
  }

  uint32_t Below(uint32_t bound) { return random_() % bound; }
  bool Once(uint32_t in) { return Below(in) == 0; }

  Bytes InnerFrame(int from, int to, size_t payload_max) {
    const int inner = Once(2) ? 4 : 6;
    const Address source = Pod(from, inner), target = Pod(to, inner);
    const Bytes payload = Pattern(Below(static_cast<uint32_t>(payload_max)), random_());
    const bool tcp = Once(2);
    const Bytes l4 = tcp ? TcpSegment(source, target, {}, payload)
                         : Udp(source, target, 1000 + Below(60000), 2000, payload);
    Ip ip{source, target, static_cast<uint8_t>(tcp ? 6 : 17)};
    ip.tos = static_cast<uint8_t>(random_());
    ip.ttl = static_cast<uint8_t>(2 + Below(253));
    return Ethernet(VtepMac(to), VtepMac(from), EtherType(source), IpPacket(ip, l4));
  }

  // What node 2 would send us, before anybody touches it.
  Bytes GoodFrame(const Bytes& inner, uint8_t tos) {
    const Address from = Underlay(2, outer()), to = Underlay(1, outer());
    Bytes udp = Udp(from, to, 49152 + Below(16000), 8472, Vxlan(1, inner));
    if (Once(2)) Set16(udp, 6, 0);
    Ip ip{from, to};
    ip.tos = tos;
    ip.id = static_cast<uint16_t>(random_());
    return Ethernet(NicMac(1), NicMac(2), EtherType(from), IpPacket(ip, udp));
  }

  // One to three fields changed, sums made right again half of the time, because a wrong one hides
  // what stands behind it.
  void Damage(Bytes& frame) {
    const size_t l4 = outer() == 4 ? 34 : 54;
    for (uint32_t changes = 1 + Below(3); changes != 0; --changes) {
      switch (Below(8)) {
        case 0:
          frame[14 + Below(static_cast<uint32_t>(l4 - 14))] = static_cast<uint8_t>(random_());
          break;
        case 1:
          frame[14 + Below(static_cast<uint32_t>(l4 - 14))] ^= static_cast<uint8_t>(1u << Below(8));
          break;
        case 2:
          frame[l4 + Below(8)] = static_cast<uint8_t>(random_());
          break;
        case 3:
          frame[l4 + 8 + Below(8)] ^= static_cast<uint8_t>(1u << Below(8));
          break;
        case 4:
          frame[l4 + 16 + Below(14)] ^= static_cast<uint8_t>(1u << Below(8));
          break;
        case 5:
          frame[Below(static_cast<uint32_t>(frame.size() - 14)) + 14] =
              static_cast<uint8_t>(random_());
          break;
        case 6:
          Set16(frame, l4 + 4, Get16(frame, l4 + 4) + Below(41) - 20);
          break;
        default:
          Set16(frame, outer() == 4 ? 16 : 18,
                Get16(frame, outer() == 4 ? 16 : 18) + Below(41) - 20);
          break;
      }
    }
    if (Once(2)) Repair(frame);
    if (Once(8)) frame.resize(14 + Below(static_cast<uint32_t>(frame.size() - 13)));
    if (Once(8)) frame.resize(frame.size() + Below(40));
  }
  void Repair(Bytes& frame) {
    const size_t l4 = outer() == 4 ? 34 : 54;
    if (outer() == 4) {
      const size_t header = std::min<size_t>((frame[14] & 15) * 4, frame.size() - 14);
      if (header >= 20) {
        Set16(frame, 24, 0);
        Set16(frame, 24, 0xffff & ~Ones(Cut(frame, 14, header)));
      }
    }
    const size_t udp = Get16(frame, l4 + 4);
    if (udp < 8 || l4 + udp > frame.size() || Get16(frame, l4 + 6) == 0) return;
    const Address from{Cut(frame, outer() == 4 ? 26 : 22, outer() == 4 ? 4 : 16)};
    const Address to{Cut(frame, outer() == 4 ? 30 : 38, outer() == 4 ? 4 : 16)};
    Set16(frame, l4 + 6, 0);
    const uint32_t sum =
        0xffff & ~Ones(Cut(frame, l4, udp), PseudoSum(from, to, 17, static_cast<uint32_t>(udp)));
    Set16(frame, l4 + 6, sum == 0 ? 0xffff : sum);
  }

  // What the kernel's device delivers of this frame. A good frame is sent behind it: whatever comes
  // out before that one came from the frame.
  std::optional<Bytes> Kernel(const Bytes& frame, const Bytes& end_frame, const Bytes& end_inner) {
    EXPECT_TRUE(wire_->Send(frame) && wire_->Send(end_frame));
    std::optional<Bytes> delivered;
    for (;;) {
      auto got = device_->Read();
      if (!got) {
        ADD_FAILURE() << "the kernel lost the frame that ends the round";
        return delivered;
      }
      if (*got == end_inner) return delivered;
      EXPECT_FALSE(delivered.has_value()) << "two frames out of one";
      delivered = std::move(got);
    }
  }

  std::optional<test::Wire> wire_, device_;
  uint64_t seed_ = 0;
  std::mt19937 random_;
  uint32_t frames_ = 0;
};

std::string Label(DropReason reason) {
  return reason == DropReason::kCount ? "nothing"
                                      : pkt::kDropReasonTexts[static_cast<size_t>(reason)].label;
}

// The declared list. `udp`: the frame's next header is UDP; `jumbo`: its UDP length is zero.
bool MayBeStricter(DropReason reason, bool udp, bool jumbo) {
  switch (reason) {
    case DropReason::kUnknownPeer:  // The kernel's device takes from anybody.
    case DropReason::kInnerMac:     // It bridges; we have one address behind it.
    case DropReason::kInnerVlan:
    case DropReason::kInnerType:    // It carries every Ethernet type.
    case DropReason::kInnerLength:  // It does not look inside.
    case DropReason::kInnerSource:
    case DropReason::kInnerDestination:
    case DropReason::kNested:
    case DropReason::kTtl:
      return true;
    case DropReason::kUdpLength:  // Length zero: a jumbogram to the kernel's IPv6.
      return jumbo;
    case DropReason::kNotOurs:  // Other local addresses; headers between IPv6 and UDP.
      return true;
    default:
      return !udp;
  }
}

TEST_P(KernelVxlan, GivesTheSameVerdictAndTheSameBytesAsWeDo) {
  SCOPED_TRACE("RIPSTOP_SEED=" + std::to_string(seed_));
  Node node(Table(), Format());
  const Bytes end_inner =
      Ethernet(VtepMac(1), VtepMac(2), 0x0800,
               IpPacket({Pod(2, 4), Pod(1, 4)}, Udp(Pod(2, 4), Pod(1, 4), 7, 7, Pattern(40, 99))));
  const Bytes end_frame = GoodFrame(end_inner, 0);
  std::array<uint64_t, pkt::kDropReasons + 1> verdicts{};
  uint64_t both = 0, kernel_only = 0;
  for (uint32_t i = 0; i < frames_; ++i) {
    Bytes frame = GoodFrame(InnerFrame(2, 1, 200), static_cast<uint8_t>(random_()));
    if (!Once(4)) Damage(frame);
    const auto kernel = Kernel(frame, end_frame, end_inner);

    const auto before = [&] {
      std::array<uint64_t, pkt::kDropReasons> drops;
      for (uint32_t why = 0; why < pkt::kDropReasons; ++why)
        drops[why] = node.counters.drops[why].Read();
      return drops;
    }();
    node.Decap(node.Packet(frame));
    DropReason reason = DropReason::kCount;
    for (uint32_t why = 0; why < pkt::kDropReasons; ++why) {
      if (node.counters.drops[why].Read() != before[why]) reason = static_cast<DropReason>(why);
    }
    ++verdicts[static_cast<size_t>(reason)];
    const bool ours = !node.forward.packets.empty();
    ASSERT_EQ(ours, reason == DropReason::kCount);
    if (ours && kernel) {
      const Bytes got = BytesOf(*node.forward.packets[0]);
      // We cut off what stands behind the inner IP packet; the kernel's IP layer does that later.
      ASSERT_LE(got.size(), kernel->size());
      Bytes theirs = Cut(*kernel, 0, got.size());
      // Correcting a sum for an ECN mark can give either of one's complement's zeros; ours is the
      // one that summing anew gives.
      if (got[12] == 0x08 && Get16(theirs, 24) == 0xffff) Set16(theirs, 24, 0);
      ASSERT_EQ(Hex(got), Hex(theirs)) << "frame " << i << ": " << Hex(frame);
      ++both;
    } else if (ours) {
      // Steering leaves headers with options to the kernel, so this is not ours to judge.
      const bool options = outer() == 4 && (frame[14] & 15) != 5;
      ASSERT_TRUE(options) << "we carried what the kernel refused, frame " << i << ": "
                           << Hex(frame);
    } else if (kernel) {
      const size_t l4 = outer() == 4 ? 34 : 54;
      const bool udp = frame[outer() == 4 ? 23 : 20] == 17;
      const bool jumbo = outer() == 6 && Get16(frame, l4 + 4) == 0;
      ASSERT_TRUE(MayBeStricter(reason, udp, jumbo))
          << "we refused (" << Label(reason) << ") what the kernel carried, frame " << i << ": "
          << Hex(frame);
      ++kernel_only;
    }
    node.GiveBack();
  }
  EXPECT_GT(both, frames_ / 8);
  std::printf("%u frames over IPv%d: %lu carried by both, %lu by the kernel alone; ours:", frames_,
              outer(), static_cast<unsigned long>(both), static_cast<unsigned long>(kernel_only));
  for (uint32_t why = 0; why < pkt::kDropReasons; ++why) {
    if (verdicts[why] != 0)
      std::printf(" %s %lu", Label(static_cast<DropReason>(why)).c_str(),
                  static_cast<unsigned long>(verdicts[why]));
  }
  std::printf("\n");
}

// Out: but for what nobody prescribes (identification, source port, the sums over them), the same
// bytes on the wire.
TEST_P(KernelVxlan, PutsTheSameOuterHeadersInFrontAsWeDo) {
  SCOPED_TRACE("RIPSTOP_SEED=" + std::to_string(seed_));
  Node node(Table(), Format());
  const size_t l4 = outer() == 4 ? 34 : 54;
  const auto blank = [&](Bytes frame) {
    if (outer() == 4) {
      EXPECT_EQ(Ones(Cut(frame, 14, 20)), 0xffffu);
      Set16(frame, 18, 0);
      Set16(frame, 24, 0);
    } else {
      const Address from{Cut(frame, 22, 16)}, to{Cut(frame, 38, 16)};
      EXPECT_EQ(Ones(Cut(frame, l4, frame.size() - l4),
                     PseudoSum(from, to, 17, static_cast<uint32_t>(frame.size() - l4))),
                0xffffu);
      Set16(frame, l4 + 6, 0);
      frame[15] &= 0xf0;  // Flow label.
      Set16(frame, 16, 0);
    }
    Set16(frame, l4, 0);
    return frame;
  };
  const uint32_t rounds = frames_ / 10;
  for (uint32_t i = 0; i < rounds; ++i) {
    Bytes inner = InnerFrame(1, 2, 1300);
    // A congested packet leaves the kernel as ECT(0) outside (RFC 3168), and us as it is (RFC
    // 6040).
    const bool v4 = inner[12] == 0x08;
    const uint8_t ecn = v4 ? inner[15] & 3 : inner[15] >> 4 & 3;
    if (ecn == 3) continue;
    ASSERT_TRUE(device_->Send(inner));
    std::optional<Bytes> kernel;
    while ((kernel = wire_->Read()) && Get16(*kernel, l4 + 2) != 8472) {
    }
    ASSERT_TRUE(kernel.has_value());
    node.Encap(node.Packet(inner));
    ASSERT_EQ(node.forward.packets.size(), 1u) << Hex(inner);
    ASSERT_EQ(Hex(blank(BytesOf(*node.forward.packets[0]))), Hex(blank(*kernel)));
    node.GiveBack();
  }
}

INSTANTIATE_TEST_SUITE_P(Underlays, KernelVxlan, ::testing::Values(4, 6),
                         [](const auto& info) { return "OverIpv" + std::to_string(info.param); });

}  // namespace
