// One body for both families; what differs are two type tables and a pseudo header. Thread: a
// worker.
#include "path/icmp_reply.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"

namespace path {

namespace {

struct TypeCode {
  uint8_t type;
  uint8_t code;
};

template <typename Ip>
TypeCode TypeOf(Answer answer) {
  constexpr bool v4 = Ip::kFamily == 4;
  switch (answer) {
    case Answer::kTooBig:
      return v4 ? TypeCode{net::kIcmpUnreachable, net::kIcmpFragmentationNeeded}
                : TypeCode{net::kIcmpv6PacketTooBig, 0};
    case Answer::kUnreachable:
      return v4 ? TypeCode{net::kIcmpUnreachable, net::kIcmpNetUnreachable}
                : TypeCode{net::kIcmpv6Unreachable, net::kIcmpv6NoRoute};
    case Answer::kTimeExceeded:
      break;
  }
  return v4 ? TypeCode{net::kIcmpTimeExceeded, 0} : TypeCode{net::kIcmpv6TimeExceeded, 0};
}

// Bytes of the offending packet that the answer quotes: no more than makes it as long as that
// packet itself, so that nobody gains by provoking answers; but at least the eight bytes behind the
// headers, without which the sender would not know what it is about.
template <typename Ip>
uint32_t QuotedBytes(const uint8_t* offending, const IpView& view) {
  constexpr uint32_t kAnswerMax =
      Ip::kFamily == 4 ? 576 : 1280;  // RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
  constexpr uint32_t kHeaders = Ip::kHeaderBytes + net::kIcmpBytes;
  const uint32_t headers = view.l4 != 0 ? view.l4 : Ip::HeaderBytes(offending);
  const uint32_t balanced = view.bytes > kHeaders ? view.bytes - kHeaders : 0;
  return std::min({view.bytes, kAnswerMax - kHeaders, std::max(balanced, headers + 8)});
}

template <typename Ip>
void Write(pkt::Packet& packet, const IpView& view, Answer answer, uint32_t mtu) {
  constexpr uint32_t kHeaders = Ip::kHeaderBytes + net::kIcmpBytes;
  const uint32_t quoted = QuotedBytes<Ip>(packet.data + net::kEthernetBytes, view);
  RS_ASSERT(packet.headroom() >= kHeaders);

  uint8_t addresses[2 * Ip::kAddressBytes];  // Swapped: the answer goes from destination to source.
  const uint8_t* offending = packet.data + net::kEthernetBytes;
  std::memcpy(addresses, offending + Ip::kDestination, Ip::kAddressBytes);
  std::memcpy(addresses + Ip::kAddressBytes, offending + Ip::kSource, Ip::kAddressBytes);
  uint8_t macs[2 * net::kMacBytes];
  std::memcpy(macs, packet.data + net::kEtherSource, net::kMacBytes);
  std::memcpy(macs + net::kMacBytes, packet.data, net::kMacBytes);

  packet.data -= kHeaders;
  packet.len = net::kEthernetBytes + kHeaders + quoted;
  std::memcpy(packet.data, macs, sizeof macs);
  base::StoreBe16(packet.data + net::kEtherType, Ip::kType);
  uint8_t* ip = packet.data + net::kEthernetBytes;
  std::memset(ip, 0, kHeaders);
  ip[0] = Ip::kFamily << 4 | (Ip::kFamily == 4 ? 5 : 0);
  ip[Ip::kProtocol] = Ip::kFamily == 4 ? net::kProtocolIcmp : net::kProtocolIcmpv6;
  std::memcpy(ip + Ip::kSource, addresses, sizeof addresses);
  Ip::SetTotalBytes(ip, kHeaders + quoted);
  Ip::SetTtl(ip, 64);
  Ip::FillHeaderChecksum(ip);

  uint8_t* icmp = ip + Ip::kHeaderBytes;
  const auto [type, code] = TypeOf<Ip>(answer);
  icmp[0] = type;
  icmp[1] = code;
  if (answer == Answer::kTooBig) base::StoreBe32(icmp + net::kIcmpMtu, mtu);
  const uint32_t icmp_bytes = net::kIcmpBytes + quoted;
  const uint64_t pseudo =
      Ip::kFamily == 4 ? 0 : net::PseudoSum<Ip>(ip, net::kProtocolIcmpv6, icmp_bytes);
  base::Store(icmp + net::kIcmpChecksum, net::Finish(net::Sum(icmp, icmp_bytes, pseudo)));
}

}  // namespace

bool Answerable(const uint8_t* ip, const IpView& view) {
  if (view.later_fragment) return false;
  const bool v4 = view.family == 4;
  const bool unicast = v4 ? net::Ipv4::Carriable(ip + net::Ipv4::kSource) &&
                                net::Ipv4::Carriable(ip + net::Ipv4::kDestination)
                          : net::Ipv6::Carriable(ip + net::Ipv6::kSource) &&
                                net::Ipv6::Carriable(ip + net::Ipv6::kDestination);
  if (!unicast) return false;
  if (view.protocol != (v4 ? net::kProtocolIcmp : net::kProtocolIcmpv6)) return true;
  if (view.l4 == 0 || view.l4 >= view.bytes) return false;
  return v4 ? !net::IsIcmpError(ip[view.l4]) : !net::IsIcmpv6Error(ip[view.l4]);
}

void WriteAnswer(pkt::Packet& packet, const IpView& view, Answer answer, uint32_t mtu) {
  if (view.family == 4) {
    Write<net::Ipv4>(packet, view, answer, mtu);
  } else {
    Write<net::Ipv6>(packet, view, answer, mtu);
  }
  packet.gso = pkt::Gso::kNone;
  packet.checksum = pkt::Checksum::kUnknown;
  packet.gso_ecn = false;
  packet.gso_size = 0;
  packet.segments = 1;
}

}  // namespace path
