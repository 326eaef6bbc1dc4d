// Addresses as netlink carries them (network order bytes) and as people write them. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace netlink {

using Mac = std::array<uint8_t, 6>;

struct IpAddress {
  uint8_t family = 0;               // AF_INET or AF_INET6; 0: unset.
  std::array<uint8_t, 16> bytes{};  // Network order; the first 4 count for AF_INET.

  size_t size() const;
  std::span<const uint8_t> view() const { return {bytes.data(), size()}; }
  bool operator==(const IpAddress&) const = default;

  static std::optional<IpAddress> FromText(const std::string& text);
  static std::optional<IpAddress> FromBytes(std::span<const uint8_t> raw);
  static IpAddress Any(uint8_t family);
  std::string ToText() const;
};

struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  // "10.244.1.0/24"; a bare address means all bits.
  static std::optional<IpPrefix> FromText(const std::string& text);
  std::string ToText() const;
};

std::optional<Mac> MacFromText(const std::string& text);
std::optional<Mac> MacFromBytes(std::span<const uint8_t> raw);
std::string MacToText(const Mac& mac);

}  // namespace netlink
