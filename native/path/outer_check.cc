// The part of the outer checks that reads the payload. Thread: a worker.
#include "path/outer_check.h"

namespace path {

template <typename Ip>
bool UdpSumRight(const fwd::Format& format, const uint8_t* ip, const uint8_t* udp,
                 uint32_t udp_bytes) {
  const uint64_t pseudo = net::PseudoSum<Ip>(ip, net::kProtocolUdp, udp_bytes);
  const auto check = base::Load<uint16_t>(udp + net::kUdpChecksum);
  if (format.unfilled_checksums && check == net::Fold(pseudo)) return true;
  return net::Fold(net::Sum(udp, udp_bytes, pseudo)) == 0xffff;
}

template bool UdpSumRight<net::Ipv4>(const fwd::Format& format, const uint8_t* ip,
                                     const uint8_t* udp, uint32_t udp_bytes);
template bool UdpSumRight<net::Ipv6>(const fwd::Format& format, const uint8_t* ip,
                                     const uint8_t* udp, uint32_t udp_bytes);

}  // namespace path
