// Ports that do not fit a format: each such choice is refused with a typed error that names the
// side, the kind and what to use instead, and leaves no device behind.
#include "plane/choose_ports.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <string>
#include <vector>

#include "sandboxed.h"

namespace {

class ChoosePorts : public test::Sandboxed<> {
 protected:
  static engine::Options Options(fwd::Encapsulation encapsulation) {
    engine::Options options;
    options.format.encapsulation = encapsulation;
    options.format.vni = 1;
    options.format.port = 8472;
    options.overlay_device = "rst-tun";
    options.underlay_device = "rst-a";
    return options;
  }
  static std::vector<std::string> Devices() {
    std::vector<std::string> names;
    auto* list = if_nameindex();
    for (const auto* at = list; at->if_index != 0; ++at) names.emplace_back(at->if_name);
    if_freenameindex(list);
    return names;
  }
  static void ExpectRefused(const engine::Options& options, const steer::Steering* steering,
                            const std::string& names, const std::string& instead) {
    const auto before = Devices();
    plane::Devices devices;
    devices.underlay_ifindex = if_nametoindex("rst-a");
    devices.underlay_mtu = 1500;
    devices.overlay_mtu = 1450;
    auto opened = plane::OpenPorts(options, devices, steering);
    ASSERT_FALSE(opened.ok()) << names;
    EXPECT_EQ(opened.error().code, "PORT_UNAVAILABLE") << names;
    EXPECT_EQ(opened.error().detail.find(names), 0U) << opened.error().detail;
    EXPECT_NE(opened.error().detail.find(instead), std::string::npos) << opened.error().detail;
    EXPECT_EQ(Devices(), before) << names;
  }
};

TEST_F(ChoosePorts, VxlanTakesNoPortOfTheUdpFormatOnEitherSide) {
  auto steering = steer::Steering::Load();
  ASSERT_TRUE(steering.ok()) << steering.error().op << ": " << steering.error().detail;
  for (const char* kind : {"tun", "udp", "memory", "pcap", "nonsense"}) {
    engine::Options options = Options(fwd::Encapsulation::kVxlan);
    options.overlay_port = kind;
    ExpectRefused(options, steering->get(), "overlay port '" + std::string(kind) + "'",
                  "use auto, tap, xdp or packet");
    options.overlay_port = "auto";
    options.underlay_port = kind;
    ExpectRefused(options, steering->get(), "underlay port '" + std::string(kind) + "'",
                  "use auto, tap, xdp or packet");
  }
}

TEST_F(ChoosePorts, TheUdpFormatTakesATunDeviceAboveAndASocketBelowAndNothingElse) {
  for (const char* kind : {"tap", "xdp", "packet", "memory", "pcap", "nonsense"}) {
    engine::Options options = Options(fwd::Encapsulation::kUdp);
    options.overlay_port = kind;
    ExpectRefused(options, nullptr, "overlay port '" + std::string(kind) + "'", "use auto or tun");
    options.overlay_port = "tun";
    options.underlay_port = kind;
    ExpectRefused(options, nullptr, "underlay port '" + std::string(kind) + "'", "use auto or udp");
  }
}

}  // namespace
