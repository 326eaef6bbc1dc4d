// The XDP port on one end of a real veth, a raw socket on the other, our real redirect program
// between.
//
//   [XdpPort on rst-a] ==== veth ==== [Wire on rst-b]        all in a namespace of the test's own
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <memory>

#include "base/clock.h"
#include "net_sandbox.h"
#include "port/xdp_port.h"
#include "steer/steering.h"
#include "wire.h"

namespace xdp_bench {

using port::XdpMode;
using port::XdpOptions;
using port::XdpPort;

class OnVeth : public testing::TestWithParam<XdpMode> {
 protected:
  void SetUp() override {
    if (const std::string missing = test::NetSandbox::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    auto loaded = steer::Steering::Load();
    ASSERT_TRUE(loaded.ok()) << loaded.error().op << ": " << loaded.error().detail;
    steering_ = std::move(loaded).value();
    rs_steer_state& state = steering_->state();
    state.workers = 1;
    state.stale_ns = 50'000'000;
    state.encapsulation = RS_ENCAPSULATION_VXLAN;
    state.vni = test::kVni;
    state.udp_port_be = htons(test::kVxlanPort);
    state.local_families = RS_LOCAL_IP4;
    state.local_ip4_be = htonl(test::kLocalIp4);
    Beat();
  }
  // Fresh for as long as a slow test may take; staleness has its own test.
  void Beat() { steering_->state().heartbeat[0].ns = base::MonotonicNs() + 60'000'000'000ULL; }
  void Open(uint32_t queues = 1, uint32_t frames = 4096) {
    sandbox_ = std::make_unique<test::NetSandbox>(queues);
    ASSERT_TRUE(sandbox_->ready());
    XdpOptions options = Options();
    options.frames = frames;
    auto opened = XdpPort::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().op << ": " << opened.error().detail;
    port_ = std::move(opened).value();
    wire_ = std::make_unique<test::Wire>("rst-b");
    ASSERT_TRUE(wire_->bound());
  }
  XdpOptions Options() {
    XdpOptions options;
    options.device = "rst-a";
    options.program_fd = steering_->xdp_program();
    options.xskmap_fd = steering_->xsks_map();
    options.mode = GetParam();
    return options;
  }
  // One round of a worker that waits for something to read.
  uint32_t ReceiveSome(pkt::Batch& batch) {
    pollfd waiting{port_->wait_fd(), POLLIN, 0};
    poll(&waiting, 1, 30'000);
    const uint32_t n = port_->Receive(batch, counters_);
    port_->Flush();
    return n;
  }
  // Every frame that nobody waits for or sends is back in the pool.
  void ExpectConserved() { EXPECT_EQ(port_->umem()->census().lent, 0U); }
  // A frame comes back when the kernel has let go of it, which is a moment after the far end has
  // it.
  void ExpectAllSent() {
    for (const uint64_t end = base::MonotonicNs() + 30'000'000'000;
         port_->statistics().tx_pending != 0 && base::MonotonicNs() < end;)
      port_->Flush();
    EXPECT_EQ(port_->statistics().tx_pending, 0U);
  }

  // The wire and the port close before the namespace does.
  std::unique_ptr<steer::Steering> steering_;
  std::unique_ptr<test::NetSandbox> sandbox_;
  std::unique_ptr<XdpPort> port_;
  std::unique_ptr<test::Wire> wire_;
  pkt::LaneCounters counters_;
};

}  // namespace xdp_bench
