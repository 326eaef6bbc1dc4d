// The program at the external interface's egress, run by the kernel on frames of ours: what a pod
// encapsulated to be taken for this node's is dropped and counted, everything else goes on.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "frames.h"
#include "steer/steering.h"

namespace {

using namespace frames;

constexpr uint32_t kPod = 7;            // Interfaces that a packet came in through.
constexpr uint32_t kPass = 0xffffffff;  // TCX_NEXT.
constexpr uint32_t kShot = 2;           // TC_ACT_SHOT.

class NicEgressTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
    auto loaded = steer::Steering::Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error().op << ": " << loaded.error().detail;
    steering_ = std::move(loaded).value();
    rs_steer_state& state = steering_->state();
    state.encapsulation = RS_ENCAPSULATION_VXLAN;
    state.vni = 1;
    state.udp_port_be = __builtin_bswap16(8472);
    state.local_families = RS_LOCAL_IP4 | RS_LOCAL_IP6;
    std::memcpy(&state.local_ip4_be, ours4_.bytes.data(), 4);
    std::memcpy(state.local_ip6, ours6_.bytes.data(), 16);
  }

  uint32_t Run(const Bytes& frame, uint32_t came_in = kPod) {
    __sk_buff context{};
    context.ingress_ifindex = came_in;
    bpf_attr attributes{};
    attributes.test.prog_fd = static_cast<uint32_t>(steering_->nic_egress_program());
    attributes.test.data_in = reinterpret_cast<uint64_t>(frame.data());
    attributes.test.data_size_in = static_cast<uint32_t>(frame.size());
    attributes.test.ctx_in = reinterpret_cast<uint64_t>(&context);
    attributes.test.ctx_size_in = sizeof context;
    EXPECT_EQ(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof attributes), 0)
        << std::strerror(errno);
    return attributes.test.retval;
  }
  void ExpectDropped(const Bytes& frame, const char* what) {
    const uint64_t before = steering_->refused();
    EXPECT_EQ(Run(frame), kShot) << what;
    EXPECT_EQ(steering_->refused(), before + 1) << what;
  }
  void ExpectPassed(const Bytes& frame, const char* what, uint32_t came_in = kPod) {
    const uint64_t before = steering_->refused();
    EXPECT_EQ(Run(frame, came_in), kPass) << what;
    EXPECT_EQ(steering_->refused(), before) << what;
  }

  static Bytes Datagram(const Address& from, const Address& to, uint32_t port, uint32_t vni) {
    return Udp(from, to, 40000, port, Vxlan(vni, Pattern(60)));
  }
  // To the MAC of the device that the kernel runs programs on, as forwarded packets are.
  static Bytes Frame(const Address& from, const Bytes& ip) {
    return Ethernet({0, 0, 0, 0, 0, 0}, {6, 0, 0, 0, 0, 1}, EtherType(from), ip);
  }
  Bytes Forged(const Address& from, const Address& to, uint32_t port = 8472, uint32_t vni = 1) {
    return Frame(from, IpPacket({from, to, 17}, Datagram(from, to, port, vni)));
  }
  // IPv6 with extension headers in front of the datagram: {kind, bytes} each.
  Bytes Extended(const std::vector<std::pair<uint8_t, Bytes>>& headers) {
    Bytes payload;
    for (size_t i = 0; i < headers.size(); ++i) {
      Bytes header = headers[i].second;
      header[0] = i + 1 < headers.size() ? headers[i + 1].first : 17;
      Put(payload, header);
    }
    Put(payload, Datagram(ours6_, peer6_, 8472, 1));
    return Frame(ours6_, IpPacket({ours6_, peer6_, headers[0].first}, payload));
  }

  const Address ours4_ = V4(192, 0, 2, 1), peer4_ = V4(192, 0, 2, 2), pod4_ = V4(10, 244, 1, 5);
  const Address ours6_ = V6(1, 1, 0x2001), peer6_ = V6(1, 2, 0x2001), pod6_ = V6(9, 9);
  std::unique_ptr<steer::Steering> steering_;
};

TEST_F(NicEgressTest, DropsWhatAPodEncapsulatedUnderOurAddressInBothFamilies) {
  ExpectDropped(Forged(ours4_, peer4_), "IPv4");
  ExpectDropped(Forged(ours6_, peer6_), "IPv6");
}

TEST_F(NicEgressTest, LooksBehindOptionsExtensionHeadersAndIntoFirstFragments) {
  const Bytes datagram = Datagram(ours4_, peer4_, 8472, 1);
  Bytes options = IpPacket({ours4_, peer4_, 17}, datagram);
  options[0] = 0x46;
  options.insert(options.begin() + 20, {1, 1, 1, 1});
  ExpectDropped(Frame(ours4_, options), "IPv4 with an option");
  Bytes first = IpPacket({ours4_, peer4_, 17}, Cut(datagram, 0, 8));
  Set16(first, 6, 0x2000);
  ExpectDropped(Frame(ours4_, first), "a first fragment that ends before the VXLAN header");

  const Bytes eight(8, 0);
  ExpectDropped(Extended({{60, eight}}), "destination options");
  ExpectDropped(Extended({{0, eight}, {43, eight}, {60, eight}}), "three extension headers");
  ExpectDropped(Extended({{44, {0, 0, 0, 1, 0, 0, 0, 7}}}), "the first of several fragments");
}

TEST_F(NicEgressTest, LetsEverythingElseGoOn) {
  ExpectPassed(Forged(ours4_, peer4_), "what this host sends itself", 0);
  Bytes tap = Forged(ours6_, peer6_);
  tap[0] = 6;
  ExpectPassed(tap, "what came out of a TAP, of whichever data plane");
  ExpectPassed(Forged(pod4_, peer4_), "under the pod's own address, which no peer believes");
  ExpectPassed(Forged(pod6_, peer6_), "the same over IPv6");
  ExpectPassed(Forged(ours4_, peer4_, 4789), "another port");
  ExpectPassed(Forged(ours4_, peer4_, 8472, 2), "another VNI");
  ExpectPassed(Forged(ours6_, peer6_, 8472, 2), "another VNI over IPv6");
  ExpectPassed(Frame(ours4_, IpPacket({ours4_, peer4_, 6}, Pattern(80))), "TCP");
  Bytes later = IpPacket({ours4_, peer4_, 17}, Datagram(ours4_, peer4_, 8472, 1));
  Set16(later, 6, 0x0001);
  ExpectPassed(Frame(ours4_, later), "a later fragment");
  ExpectPassed(Extended({{44, {0, 0, 0, 8, 0, 0, 0, 7}}}), "a later fragment over IPv6");
  ExpectPassed(Ethernet({6, 0, 0, 0, 0, 2}, {6, 0, 0, 0, 0, 1}, 0x0806, Pattern(46)), "ARP");
}

}  // namespace
