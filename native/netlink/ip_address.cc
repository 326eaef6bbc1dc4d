#include "netlink/ip_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <charconv>
#include <cstdio>
#include <cstring>

namespace netlink {

size_t IpAddress::size() const { return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0; }

std::optional<IpAddress> IpAddress::FromText(const std::string& text) {
  IpAddress address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(address.family, text.c_str(), address.bytes.data()) != 1) return std::nullopt;
  return address;
}

std::optional<IpAddress> IpAddress::FromBytes(std::span<const uint8_t> raw) {
  if (raw.size() != 4 && raw.size() != 16) return std::nullopt;
  IpAddress address;
  address.family = raw.size() == 4 ? AF_INET : AF_INET6;
  std::memcpy(address.bytes.data(), raw.data(), raw.size());
  return address;
}

IpAddress IpAddress::Any(uint8_t family) {
  IpAddress address;
  address.family = family;
  return address;
}

std::string IpAddress::ToText() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family != 0) inet_ntop(family, bytes.data(), text, sizeof text);
  return text;
}

std::optional<IpPrefix> IpPrefix::FromText(const std::string& text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::FromText(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits = static_cast<unsigned>(address->size() * 8);
  unsigned length = bits;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + slash + 1, end, length);
    if (parsed.ec != std::errc{} || parsed.ptr != end || length > bits) return std::nullopt;
  }
  return IpPrefix{*address, static_cast<uint8_t>(length)};
}

std::string IpPrefix::ToText() const { return address.ToText() + "/" + std::to_string(length); }

std::optional<Mac> MacFromText(const std::string& text) {
  Mac mac{};
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* from = text.data() + i * 3;
    const auto parsed = std::from_chars(from, from + 2, mac[i], 16);
    if (parsed.ec != std::errc{} || parsed.ptr != from + 2) return std::nullopt;
    if (i + 1 < mac.size() && from[2] != ':') return std::nullopt;
  }
  return mac;
}

std::optional<Mac> MacFromBytes(std::span<const uint8_t> raw) {
  if (raw.size() != 6) return std::nullopt;
  Mac mac{};
  std::memcpy(mac.data(), raw.data(), mac.size());
  return mac;
}

std::string MacToText(const Mac& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                mac[4], mac[5]);
  return text;
}

}  // namespace netlink
