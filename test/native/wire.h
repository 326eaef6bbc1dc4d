// The far end of a veth in tests: a raw packet socket that sends and reads whole frames, and the
// frames themselves.
#pragma once

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/endian.h"
#include "base/unique_fd.h"

namespace test {

using Frame = std::vector<uint8_t>;

inline constexpr uint16_t kVxlanPort = 8472;
inline constexpr uint32_t kVni = 1;
inline constexpr uint32_t kLocalIp4 = 0xc0a84d01;  // 192.168.77.1
inline constexpr uint32_t kPeerIp4 = 0xc0a84d02;

// Ethernet, IPv4, UDP to the VXLAN port, VXLAN, `payload` bytes of which the first four are
// `number`.
inline Frame VxlanFrame(uint32_t number, uint32_t payload = 64, uint32_t vni = kVni,
                        uint32_t to = kLocalIp4) {
  Frame frame(50 + payload);
  uint8_t* p = frame.data();
  const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
  std::memcpy(p, macs, sizeof macs);
  base::StoreBe16(p + 12, ETH_P_IP);
  p[14] = 0x45;
  base::StoreBe16(p + 16, static_cast<uint16_t>(36 + payload));
  base::StoreBe16(p + 20, 0x4000);
  p[22] = 64;
  p[23] = IPPROTO_UDP;
  base::StoreBe32(p + 26, kPeerIp4);
  base::StoreBe32(p + 30, to);
  uint32_t sum = 0;
  for (int i = 14; i < 34; i += 2) sum += base::LoadBe16(p + i);
  sum = (sum & 0xffff) + (sum >> 16);
  base::StoreBe16(p + 24, static_cast<uint16_t>(~(sum + (sum >> 16))));
  base::StoreBe16(p + 34, static_cast<uint16_t>(49152 + number % 1000));
  base::StoreBe16(p + 36, kVxlanPort);
  base::StoreBe16(p + 38, static_cast<uint16_t>(16 + payload));
  p[42] = 8;
  base::StoreBe32(p + 46, vni << 8);
  base::StoreBe32(p + 50, number);
  for (uint32_t i = 4; i < payload; ++i) p[50 + i] = static_cast<uint8_t>(number + i);
  return frame;
}

inline uint32_t NumberOf(const uint8_t* frame) { return base::LoadBe32(frame + 50); }

class Wire {
 public:
  explicit Wire(const char* device)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(device));
    const int bytes = 64 << 20;
    (void)setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    (void)setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    const int on = 1;
    (void)setsockopt(fd_.get(), SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING, 4.20 */, &on, sizeof on);
    bound_ = bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  bool bound() const { return bound_; }
  bool Send(const Frame& frame) {
    return send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  // The next frame; gives up after half a minute, which only a lost one takes.
  std::optional<Frame> Read(int timeout_ms = 30'000) {
    pollfd waiting{fd_.get(), POLLIN, 0};
    if (poll(&waiting, 1, timeout_ms) != 1) return std::nullopt;
    Frame frame(70000);
    const ssize_t n = recv(fd_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
    if (n < 0) return std::nullopt;
    frame.resize(static_cast<size_t>(n));
    return frame;
  }

 private:
  base::UniqueFd fd_;
  bool bound_ = false;
};

}  // namespace test
