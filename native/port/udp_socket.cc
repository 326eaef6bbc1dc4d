#include "port/udp_socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/udp.h"

namespace port {

namespace {

constexpr int kUdpSegment = 103;    // UDP_SEGMENT, 4.18.
constexpr int kUdpGro = 104;        // UDP_GRO, 5.0.
constexpr int kIpUnicastIf = 50;    // IP_UNICAST_IF, 3.3.
constexpr int kIpv6UnicastIf = 76;  // IPV6_UNICAST_IF, 3.3.
constexpr int kSoMemInfo = 55;      // SO_MEMINFO, 4.12.
constexpr int kMemInfoWords = 9;
constexpr int kMemInfoDrops = 8;
constexpr int kProbe = 3;  // IP_PMTUDISC_PROBE: DF set, and the path's MTU is our business.
constexpr int kBufferBytes = 16 * 1024 * 1024;
constexpr uint8_t kTtl = 64;

bool Set(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

base::Error SocketError(const UdpSocketOptions& options, const char* op, const char* remedy) {
  return base::SystemError(
      "UDP_SOCKET_FAILED", op,
      options.local.Text() + " port " + std::to_string(options.port) + ": " + remedy);
}

template <typename Ip>
void WriteHeaders(const UdpPeer& from, const UdpSocket& to, uint32_t payload, uint8_t* header) {
  std::memset(header, 0, net::kEthernetBytes + Ip::kHeaderBytes + net::kUdpBytes);
  base::StoreBe16(header + net::kEtherType, Ip::kType);
  uint8_t* ip = header + net::kEthernetBytes;
  ip[0] = static_cast<uint8_t>(Ip::kFamily << 4 | (Ip::kFamily == 4 ? 5 : 0));
  ip[Ip::kProtocol] = net::kProtocolUdp;
  ip[Ip::kFamily == 4 ? 8 : 7] = kTtl;
  std::memcpy(ip + Ip::kSource, from.address.bytes.data(), Ip::kAddressBytes);
  std::memcpy(ip + Ip::kDestination, to.local.bytes.data(), Ip::kAddressBytes);
  Ip::SetTotalBytes(ip, Ip::kHeaderBytes + net::kUdpBytes + payload);
  Ip::SetTos(ip, from.tos);
  Ip::FillHeaderChecksum(ip);
  uint8_t* udp = ip + Ip::kHeaderBytes;
  base::StoreBe16(udp, from.port);
  base::StoreBe16(udp + net::kUdpDestination, to.port);
  base::StoreBe16(udp + net::kUdpLength, static_cast<uint16_t>(net::kUdpBytes + payload));
}

}  // namespace

UdpAddress UdpAddress::Ip4(uint32_t address_be) {
  UdpAddress address;
  address.family = 4;
  std::memcpy(address.bytes.data(), &address_be, sizeof address_be);
  return address;
}

UdpAddress UdpAddress::Ip6(const uint8_t* bytes) {
  UdpAddress address;
  address.family = 6;
  std::memcpy(address.bytes.data(), bytes, address.bytes.size());
  return address;
}

std::string UdpAddress::Text() const {
  char text[INET6_ADDRSTRLEN] = "no address";
  inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

base::Result<UdpSocket> UdpSocket::Open(const UdpSocketOptions& options) {
  const bool v4 = options.local.family == 4;
  UdpSocket made;
  made.local = options.local;
  made.port = options.port;
  made.fd.Reset(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = made.fd.get();
  if (fd < 0)
    return SocketError(options, "socket(SOCK_DGRAM)", "the kernel lacks this address family");
  // Both families together may use one port, and the path fragments, not we.
  const bool df = v4 ? Set(fd, IPPROTO_IP, IP_MTU_DISCOVER, kProbe)
                     : Set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
                           Set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, kProbe) &&
                           Set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
  const bool told =
      v4 ? Set(fd, IPPROTO_IP, IP_RECVTOS, 1) && Set(fd, IPPROTO_IP, IP_PKTINFO, 1)
         : Set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) && Set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  if (!df || !told)
    return SocketError(options, "setsockopt", "the kernel refused a basic IP option");
  (void)Set(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBufferBytes);
  (void)Set(fd, SOL_SOCKET, SO_SNDBUFFORCE, kBufferBytes);
  if (!options.device.empty()) {
    made.ifindex = if_nametoindex(options.device.c_str());
    const auto index_be = static_cast<int>(base::SwapBytes(made.ifindex));
    const bool through = v4 ? Set(fd, IPPROTO_IP, kIpUnicastIf, index_be)
                            : Set(fd, IPPROTO_IPV6, kIpv6UnicastIf, index_be);
    if (made.ifindex == 0 || !through)
      return SocketError(options, "setsockopt(UNICAST_IF)", "the interface must exist");
  }
  if (options.reuse_port && !Set(fd, SOL_SOCKET, SO_REUSEPORT, 1))
    return SocketError(options, "setsockopt(SO_REUSEPORT)", "use one worker");
  // Setting no default segment size tells whether the option is known.
  made.sends_segments = options.segmentation && Set(fd, SOL_UDP, kUdpSegment, 0);
  made.receives_coalesced = options.segmentation && Set(fd, SOL_UDP, kUdpGro, 1);
  sockaddr_storage address{};
  const socklen_t length = WriteAddress({options.local, options.port, 0}, &address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    const char* remedy = "this address must be one of the node's";
    if (errno == EADDRINUSE)
      remedy = "another program holds the port: a second flannel or ripstop on this node?";
    return SocketError(options, "bind", remedy);
  }
  return made;
}

uint64_t UdpSocket::ReadDrops() const {
  uint32_t words[kMemInfoWords] = {};
  socklen_t bytes = sizeof words;
  if (getsockopt(fd.get(), SOL_SOCKET, kSoMemInfo, words, &bytes) != 0) return 0;
  return words[kMemInfoDrops];
}

UdpControl ReadControl(const msghdr& header) {
  UdpControl control;
  msghdr* items = const_cast<msghdr*>(&header);  // What the macros want; nothing is written.
  for (cmsghdr* item = CMSG_FIRSTHDR(items); item != nullptr; item = CMSG_NXTHDR(items, item)) {
    const auto read = [item](auto& value) {
      std::memcpy(&value, CMSG_DATA(item), std::min(sizeof value, item->cmsg_len - CMSG_LEN(0)));
    };
    const bool v4 = item->cmsg_level == IPPROTO_IP, v6 = item->cmsg_level == IPPROTO_IPV6;
    if ((v4 && item->cmsg_type == IP_TOS) || (v6 && item->cmsg_type == IPV6_TCLASS)) {
      int tos = 0;
      read(tos);
      control.tos = static_cast<uint8_t>(tos);
    } else if (v4 && item->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      read(info);
      control.ifindex = static_cast<uint32_t>(info.ipi_ifindex);
    } else if (v6 && item->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      read(info);
      control.ifindex = info.ipi6_ifindex;
    } else if (item->cmsg_level == SOL_UDP && item->cmsg_type == kUdpGro) {
      int bytes = 0;
      read(bytes);
      control.segment = static_cast<uint32_t>(std::max(bytes, 0));
    }
  }
  return control;
}

UdpPeer PeerFrom(const sockaddr_storage& address, uint8_t tos) {
  UdpPeer peer;
  peer.tos = tos;
  if (address.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof in);
    peer.address = UdpAddress::Ip4(in.sin_addr.s_addr);
    peer.port = base::SwapBytes(in.sin_port);
  } else {
    sockaddr_in6 in;
    std::memcpy(&in, &address, sizeof in);
    peer.address = UdpAddress::Ip6(in.sin6_addr.s6_addr);
    peer.port = base::SwapBytes(in.sin6_port);
  }
  return peer;
}

socklen_t WriteAddress(const UdpPeer& peer, sockaddr_storage* address) {
  if (peer.address.family == 4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = base::SwapBytes(peer.port);
    std::memcpy(&in.sin_addr, peer.address.bytes.data(), sizeof in.sin_addr);
    std::memcpy(address, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = base::SwapBytes(peer.port);
  std::memcpy(&in.sin6_addr, peer.address.bytes.data(), sizeof in.sin6_addr);
  std::memcpy(address, &in, sizeof in);
  return sizeof in;
}

uint32_t UdpOuterBytes(uint8_t family) {
  return net::kEthernetBytes + (family == 4 ? net::Ipv4::kHeaderBytes : net::Ipv6::kHeaderBytes) +
         net::kUdpBytes;
}

void WriteOuter(const UdpPeer& from, const UdpSocket& to, uint32_t payload, uint8_t* header) {
  if (to.local.family == 4) {
    WriteHeaders<net::Ipv4>(from, to, payload, header);
  } else {
    WriteHeaders<net::Ipv6>(from, to, payload, header);
  }
}

UdpPeer ReadOuter(const uint8_t* frame, uint32_t udp_offset) {
  const uint8_t* ip = frame + net::kEthernetBytes;
  UdpPeer peer;
  if (ip[0] >> 4 == 4) {
    peer.address = UdpAddress::Ip4(base::Load<uint32_t>(ip + net::Ipv4::kDestination));
    peer.tos = net::Ipv4::Tos(ip);
  } else {
    peer.address = UdpAddress::Ip6(ip + net::Ipv6::kDestination);
    peer.tos = net::Ipv6::Tos(ip);
  }
  peer.port = base::LoadBe16(frame + udp_offset + net::kUdpDestination);
  return peer;
}

}  // namespace port
