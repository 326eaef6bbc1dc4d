#include "port/packet_filter.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"
#include "net/vxlan.h"

namespace port {

namespace {

constexpr uint32_t kAll = 0x40000;  // Bytes to keep of an accepted packet: every one.
constexpr uint32_t kIp = net::kEthernetBytes;

// Collects instructions whose failure branch leads to the one reject at the end.
class Filter {
 public:
  void Load(uint16_t width, uint32_t offset) {
    code_.push_back(BPF_STMT(static_cast<uint16_t>(BPF_LD | width | BPF_ABS), offset));
  }
  void Ancillary(int what) { Load(BPF_W, static_cast<uint32_t>(SKF_AD_OFF + what)); }
  void And(uint32_t mask) { code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask)); }
  void RequireEqual(uint32_t value) {
    rejects_.push_back(code_.size());
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0));
  }
  void Accept() { code_.push_back(BPF_STMT(BPF_RET | BPF_K, kAll)); }
  // Jumps to what follows `code_[at] skip` when the accumulator differs.
  size_t SkipUnlessEqual(uint32_t value) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0));
    return code_.size() - 1;
  }
  void SkipToHere(size_t from) { code_[from].jf = static_cast<uint8_t>(code_.size() - from - 1); }
  std::vector<sock_filter> Finish() {
    for (const size_t at : rejects_) code_[at].jf = static_cast<uint8_t>(code_.size() - at - 1);
    code_.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
    return std::move(code_);
  }

 private:
  std::vector<sock_filter> code_;
  std::vector<size_t> rejects_;
};

void RequireEncapsulation(Filter& filter, const EncapsulatedMatch& match, uint32_t udp) {
  filter.Load(BPF_H, udp + net::kUdpDestination);
  filter.RequireEqual(match.udp_port);
  if (match.vxlan) {
    filter.Load(BPF_W, udp + net::kUdpBytes + net::kVxlanVni);
    filter.And(0xffffff00);
    filter.RequireEqual(match.vni << 8);
  }
  filter.Accept();
}

}  // namespace

std::vector<sock_filter> BuildUntaggedFilter() {
  Filter filter;
  filter.Ancillary(SKF_AD_VLAN_TAG_PRESENT);
  filter.RequireEqual(0);
  filter.Accept();
  return filter.Finish();
}

std::vector<sock_filter> BuildPacketFilter(const EncapsulatedMatch& match) {
  Filter filter;
  filter.Ancillary(SKF_AD_PKTTYPE);
  filter.RequireEqual(PACKET_HOST);
  filter.Ancillary(SKF_AD_VLAN_TAG_PRESENT);
  filter.RequireEqual(0);
  filter.Load(BPF_H, net::kEtherType);
  const size_t other = filter.SkipUnlessEqual(ETH_P_IP);
  filter.Load(BPF_B, kIp);
  filter.RequireEqual(0x45);  // Options are the kernel's business.
  filter.Load(BPF_B, kIp + net::Ipv4::kProtocol);
  filter.RequireEqual(net::kProtocolUdp);
  filter.Load(BPF_H, kIp + net::Ipv4::kFragment);
  filter.And(net::Ipv4::kMoreFragments | net::Ipv4::kFragmentOffsetMask);
  filter.RequireEqual(0);
  RequireEncapsulation(filter, match, kIp + net::Ipv4::kHeaderBytes);
  filter.SkipToHere(other);
  filter.RequireEqual(ETH_P_IPV6);
  filter.Load(BPF_B, kIp + net::Ipv6::kProtocol);
  filter.RequireEqual(net::kProtocolUdp);
  RequireEncapsulation(filter, match, kIp + net::Ipv6::kHeaderBytes);
  return filter.Finish();
}

}  // namespace port
