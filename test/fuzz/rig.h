// What the packet fuzzers share: one node with two peers, packets made of fuzzer input, and the two
// laws that must hold whatever comes: every packet is accounted for, every frame comes back.
#pragma once

#include <algorithm>

#include "base/assert.h"
#include "net/ipv4.h"
#include "path/decap.h"
#include "path/encap.h"
#include "port/vnet_header.h"
#include "table_builder.h"

namespace fuzz {

// Takes bytes off the input; zeros when it is empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint16_t Word() { return static_cast<uint16_t>(Byte() | Byte() << 8); }
  // The next up to `most` bytes.
  size_t Rest(uint8_t* to, size_t most) {
    const size_t bytes = std::min(most, size_);
    if (bytes != 0) std::memcpy(to, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
    return bytes;
  }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

struct Count final : pkt::Drain {
  uint64_t segments = 0;
  pkt::Outbox box{*this};
  void Take(pkt::Batch& batch) override {
    for (const pkt::Packet* packet : batch) {
      RS_ASSERT(packet->data >= packet->base &&
                packet->headroom() + packet->len <= packet->capacity);
      segments += packet->segments;
    }
    pkt::GiveAll(batch);
  }
};

// Writes the offload header of each packet, as a TAP that takes everything does.
struct Described final : pkt::Drain {
  uint64_t segments = 0;
  pkt::Outbox box{*this};
  void Take(pkt::Batch& batch) override {
    for (pkt::Packet* packet : batch) {
      RS_ASSERT(packet->headroom() >= port::kVnetTunnelBytes);
      uint8_t* header = packet->data - port::kVnetTunnelBytes;
      port::WriteVnetHeader(*packet, header, port::kVnetTunnelBytes);
      const uint32_t starts = base::Load<uint16_t>(header + 6);
      RS_ASSERT(starts <= packet->len && base::Load<uint16_t>(header + 2) <= packet->len);
      segments += packet->segments;
    }
    pkt::GiveAll(batch);
  }
};

struct Rig {
  // Short paths, so that a short input can be too long for them.
  static constexpr uint16_t kUnderlayMtu = 300;

  std::unique_ptr<const fwd::Snapshot> tables[2];  // VXLAN, udp.
  std::unique_ptr<const fwd::Snapshot> ordinary;   // VXLAN over an MTU of 1500.
  std::unique_ptr<pkt::FramePool> pool =
      std::move(pkt::FramePool::Create(96, 65536 + 4096)).value();
  path::ReplyLimiter replies;
  uint64_t now_ns = 0;

  Rig() {
    for (const bool udp : {false, true}) {
      testing_node::TableBuilder table(1);
      for (const int family : {4, 6}) {
        table.AddPeer(2, family, 4);
        table.AddPeer(3, family, 6).id += 1000;
      }
      table.peers[3].prefix_length = 48;  // A second length, so that the search has two steps.
      fwd::Format format;
      format.encapsulation = udp ? fwd::Encapsulation::kUdp : fwd::Encapsulation::kVxlan;
      if (!udp) ordinary = table.Build(format);
      format.underlay_mtu = kUnderlayMtu;
      tables[udp] = table.Build(format);
    }
  }
  static Rig& Get() {
    static Rig rig;
    return rig;
  }

  // A packet with metadata and bytes from the input; IPv4 header checksums are made right on
  // request, because a fuzzer does not find them.
  pkt::Packet* Packet(Input& input, size_t most) {
    pkt::Packet* packet = pool->Take();
    RS_ASSERT(packet != nullptr);
    const uint8_t bits = input.Byte();
    packet->gso = static_cast<pkt::Gso>(bits & 3);
    packet->checksum = static_cast<pkt::Checksum>((bits >> 2 & 3) % 3);
    packet->gso_ecn = (bits & 16) != 0;
    packet->gso_size = packet->super_packet() ? input.Word() : 0;
    packet->csum_start = packet->checksum == pkt::Checksum::kPartial ? input.Word() : 0;
    packet->csum_offset = packet->checksum == pkt::Checksum::kPartial ? input.Byte() : 0;
    packet->len = static_cast<uint32_t>(input.Rest(packet->data, most));
    const bool repair = (bits & 32) != 0;
    if (repair && packet->len >= 34 && packet->data[14] == 0x45)
      net::Ipv4::FillHeaderChecksum(packet->data + 14);
    return packet;
  }

  path::Context Context(bool udp, pkt::LaneCounters& counters) {
    now_ns += 10'000'000;
    return {*tables[udp], counters, now_ns, replies, *pool};
  }
  void CheckLaws(const pkt::LaneCounters& counters, uint64_t delivered) const {
    uint64_t ended = delivered + counters.punts.Read() + counters.replies.Read();
    for (const pkt::Counter& drop : counters.drops) ended += drop.Read();
    RS_ASSERT(counters.rx_packets.Read() == ended);
    RS_ASSERT(pool->available() == pool->frames());
  }
};

}  // namespace fuzz
