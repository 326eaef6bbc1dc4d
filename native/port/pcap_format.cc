#include "port/pcap_format.h"

#include <cstring>

#include "base/endian.h"

namespace port {

namespace {

constexpr uint32_t kSection = 0x0a0d0d0a;
constexpr uint32_t kInterface = 1;
constexpr uint32_t kSimplePacket = 3;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr uint16_t kEthernet = 1;        // LINKTYPE_ETHERNET
constexpr uint16_t kTimeResolution = 9;  // Option if_tsresol.
constexpr uint32_t kBlockBytesMin = 12;
constexpr uint32_t kSectionBytesMin = 28;
constexpr uint32_t kInterfaceBytesMin = 20;
constexpr uint32_t kEnhancedBytesMin = 32;

uint32_t Padded(uint32_t bytes) { return (bytes + 3) & ~3U; }

base::Error Bad(uint64_t offset, const char* what) {
  return base::Error{"PCAP_FILE_BAD", 0, "read pcapng",
                     "byte " + std::to_string(offset) + ": " + what +
                         "; only little-endian pcapng of Ethernet frames is read"};
}

// Length of the block at the front, 0 when it is malformed.
uint32_t BlockBytes(std::span<const uint8_t> at) {
  if (at.size() < kBlockBytesMin) return 0;
  const auto bytes = base::Load<uint32_t>(at.data() + 4);
  if (bytes < kBlockBytesMin || bytes % 4 != 0 || bytes > at.size()) return 0;
  return base::Load<uint32_t>(at.data() + bytes - 4) == bytes ? bytes : 0;
}

const char* CheckBlock(std::span<const uint8_t> block, uint32_t* interfaces) {
  const auto type = base::Load<uint32_t>(block.data());
  const auto bytes = static_cast<uint32_t>(block.size());
  if (type == kSection) {
    *interfaces = 0;
    if (bytes < kSectionBytesMin) return "short section header";
    if (base::Load<uint32_t>(block.data() + 8) != kByteOrder) return "big-endian section";
  }
  if (type == kInterface) {
    if (bytes < kInterfaceBytesMin) return "short interface description";
    if (base::Load<uint16_t>(block.data() + 8) != kEthernet) return "interface is not Ethernet";
    ++*interfaces;
  }
  if (type == kSimplePacket) return "simple packet block";
  if (type == kEnhancedPacket) {
    if (bytes < kEnhancedBytesMin) return "short packet block";
    if (base::Load<uint32_t>(block.data() + 8) >= *interfaces)
      return "packet of an unknown interface";
    const auto captured = base::Load<uint32_t>(block.data() + 20);
    if (captured == 0 || captured > bytes - kEnhancedBytesMin)
      return "packet longer than its block, or empty";
  }
  return nullptr;
}

}  // namespace

void WritePcapPrologue(uint8_t* to) {
  std::memset(to, 0, kPcapPrologueBytes);
  base::Store<uint32_t>(to, kSection);
  base::Store<uint32_t>(to + 4, 28);
  base::Store<uint32_t>(to + 8, kByteOrder);
  base::Store<uint16_t>(to + 12, 1);  // Version 1.0.
  base::Store<uint64_t>(to + 16, ~uint64_t{0});
  base::Store<uint32_t>(to + 24, 28);
  to += 28;
  base::Store<uint32_t>(to, kInterface);
  base::Store<uint32_t>(to + 4, 32);
  base::Store<uint16_t>(to + 8, kEthernet);
  base::Store<uint16_t>(to + 16, kTimeResolution);
  base::Store<uint16_t>(to + 18, 1);
  to[20] = 9;  // 10^-9 seconds; then the end of options (zeros).
  base::Store<uint32_t>(to + 28, 32);
}

void WritePcapPacket(uint64_t time_ns, uint32_t bytes, uint8_t* to) {
  base::Store<uint32_t>(to, kEnhancedPacket);
  base::Store<uint32_t>(to + 4, kEnhancedBytesMin + Padded(bytes));
  base::Store<uint32_t>(to + 8, 0);
  base::Store<uint32_t>(to + 12, static_cast<uint32_t>(time_ns >> 32));
  base::Store<uint32_t>(to + 16, static_cast<uint32_t>(time_ns));
  base::Store<uint32_t>(to + 20, bytes);
  base::Store<uint32_t>(to + 24, bytes);
}

uint32_t WritePcapTail(uint32_t bytes, uint8_t* to) {
  const uint32_t padding = Padded(bytes) - bytes;
  std::memset(to, 0, padding);
  base::Store<uint32_t>(to + padding, kEnhancedBytesMin + Padded(bytes));
  return padding + 4;
}

base::Status PcapReader::Check(std::span<const uint8_t> file) {
  uint64_t offset = 0;
  uint32_t interfaces = 0;
  if (file.size() < 4 || base::Load<uint32_t>(file.data()) != kSection)
    return Bad(0, "no section header");
  while (offset < file.size()) {
    const uint32_t bytes = BlockBytes(file.subspan(offset));
    if (bytes == 0) return Bad(offset, "broken block length");
    const char* wrong = CheckBlock(file.subspan(offset, bytes), &interfaces);
    if (wrong != nullptr) return Bad(offset, wrong);
    offset += bytes;
  }
  return base::Ok();
}

std::span<const uint8_t> PcapReader::Next() {
  while (!rest_.empty()) {
    const std::span<const uint8_t> block = rest_.first(base::Load<uint32_t>(rest_.data() + 4));
    rest_ = rest_.subspan(block.size());
    if (base::Load<uint32_t>(block.data()) == kEnhancedPacket)
      return block.subspan(kPcapPacketBytes, base::Load<uint32_t>(block.data() + 20));
  }
  return {};
}

}  // namespace port
