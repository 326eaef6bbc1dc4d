// Frames for the native tests, built the slow and obvious way: nothing here may use the code under
// test.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace frames {

using Bytes = std::vector<uint8_t>;

inline void Put16(Bytes& to, uint32_t v) {
  to.push_back(static_cast<uint8_t>(v >> 8));
  to.push_back(static_cast<uint8_t>(v));
}
inline void Put32(Bytes& to, uint32_t v) {
  Put16(to, v >> 16);
  Put16(to, v & 0xffff);
}
inline void Put(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }
inline void Set16(Bytes& in, size_t at, uint32_t v) {
  in[at] = static_cast<uint8_t>(v >> 8);
  in[at + 1] = static_cast<uint8_t>(v);
}
inline uint32_t Get16(const Bytes& in, size_t at) {
  return static_cast<uint32_t>(in[at] << 8 | in[at + 1]);
}
inline uint32_t Get32(const Bytes& in, size_t at) {
  return Get16(in, at) << 16 | Get16(in, at + 2);
}
inline Bytes Cut(const Bytes& from, size_t at, size_t bytes) {
  return Bytes(from.begin() + static_cast<ptrdiff_t>(at),
               from.begin() + static_cast<ptrdiff_t>(at + bytes));
}

// RFC 1071, two bytes at a time.
inline uint32_t Ones(const Bytes& bytes, uint32_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct Address {
  Bytes bytes;  // 4 or 16.
  int family() const { return bytes.size() == 4 ? 4 : 6; }
};
inline Address V4(int a, int b, int c, int d) {
  return {{static_cast<uint8_t>(a), static_cast<uint8_t>(b), static_cast<uint8_t>(c),
           static_cast<uint8_t>(d)}};
}
// fd00:<net>::<host>, or <top>:<net>::<host>.
inline Address V6(int net, int host, int top = 0xfd00) {
  Address made{Bytes(16, 0)};
  Set16(made.bytes, 0, static_cast<uint32_t>(top));
  Set16(made.bytes, 2, static_cast<uint32_t>(net));
  Set16(made.bytes, 14, static_cast<uint32_t>(host));
  return made;
}

inline uint32_t PseudoSum(const Address& from, const Address& to, uint32_t protocol,
                          uint32_t bytes) {
  return Ones(to.bytes, Ones(from.bytes, protocol + bytes));
}

struct Ip {
  Address from, to;
  uint8_t protocol = 17;
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;
  uint16_t fragment = 0x4000;  // IPv4 flags and offset; DF by default.
};

inline Bytes IpPacket(const Ip& ip, const Bytes& payload) {
  Bytes made;
  if (ip.from.family() == 4) {
    made = {0x45, ip.tos};
    Put16(made, static_cast<uint32_t>(20 + payload.size()));
    Put16(made, ip.id);
    Put16(made, ip.fragment);
    Put(made, {ip.ttl, ip.protocol, 0, 0});
    Put(made, ip.from.bytes);
    Put(made, ip.to.bytes);
    Set16(made, 10, 0xffff & ~Ones(made));
  } else {
    Put32(made, 0x60000000u | static_cast<uint32_t>(ip.tos) << 20);
    Put16(made, static_cast<uint32_t>(payload.size()));
    Put(made, {ip.protocol, ip.ttl});
    Put(made, ip.from.bytes);
    Put(made, ip.to.bytes);
  }
  Put(made, payload);
  return made;
}

inline Bytes Udp(const Address& from, const Address& to, uint32_t source, uint32_t destination,
                 const Bytes& payload) {
  Bytes made;
  Put16(made, source);
  Put16(made, destination);
  Put16(made, static_cast<uint32_t>(8 + payload.size()));
  Put16(made, 0);
  Put(made, payload);
  const uint32_t check =
      0xffff & ~Ones(made, PseudoSum(from, to, 17, static_cast<uint32_t>(made.size())));
  Set16(made, 6, check == 0 ? 0xffff : check);
  return made;
}

struct Tcp {
  uint16_t source = 40000, destination = 80;
  uint32_t sequence = 1000, acknowledgment = 2000;
  uint8_t flags = 0x10;  // ACK.
  Bytes options;         // A multiple of 4 bytes.
};

inline Bytes TcpSegment(const Address& from, const Address& to, const Tcp& tcp,
                        const Bytes& payload) {
  Bytes made;
  Put16(made, tcp.source);
  Put16(made, tcp.destination);
  Put32(made, tcp.sequence);
  Put32(made, tcp.acknowledgment);
  Put(made, {static_cast<uint8_t>((5 + tcp.options.size() / 4) << 4), tcp.flags});
  Put16(made, 0xfaf0);
  Put32(made, 0);
  Put(made, tcp.options);
  Put(made, payload);
  Set16(made, 16, 0xffff & ~Ones(made, PseudoSum(from, to, 6, static_cast<uint32_t>(made.size()))));
  return made;
}

using Mac = std::array<uint8_t, 6>;

inline Bytes Ethernet(const Mac& to, const Mac& from, uint32_t type, const Bytes& payload) {
  Bytes made(to.begin(), to.end());
  made.insert(made.end(), from.begin(), from.end());
  Put16(made, type);
  Put(made, payload);
  return made;
}
inline uint32_t EtherType(const Address& address) {
  return address.family() == 4 ? 0x0800 : 0x86dd;
}

inline Bytes Vxlan(uint32_t vni, const Bytes& frame) {
  Bytes made;
  Put32(made, 0x08000000);
  Put32(made, vni << 8);
  Put(made, frame);
  return made;
}

// Payload whose bytes tell where they belong.
inline Bytes Pattern(size_t bytes, uint32_t seed = 1) {
  Bytes made(bytes);
  for (uint8_t& byte : made)
    byte = static_cast<uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return made;
}

inline std::string Hex(const Bytes& bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string made;
  for (const uint8_t byte : bytes) {
    made += kDigits[byte >> 4];
    made += kDigits[byte & 15];
  }
  return made;
}

}  // namespace frames
