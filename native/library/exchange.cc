#include "library/exchange.h"

#include <algorithm>
#include <cstring>

namespace library {

namespace {

// What a program that kept a view too long reads in a frame that is no longer its own.
constexpr int kPoison = 0xde;
// Ports write their own header in front of a packet (24 bytes of virtio_net_hdr), so a packet may
// not start at its frame's first byte.
constexpr uint32_t kHeadroomKept = 32;

}  // namespace

Exchange::Exchange(OpenedPort opened, bool poison)
    : port_(std::move(opened.port)), pool_(opened.pool), poison_(poison) {
  descriptors_->fill(Descriptor{});
}

Exchange::~Exchange() { Release(); }

// From here on every descriptor of the batch before is of an earlier epoch.
void Exchange::Begin() {
  epoch_ = epoch_ == kEpochMax ? 1 : epoch_ + 1;
  count_ = 0;
}

void Exchange::Describe(uint32_t slot, pkt::Packet* packet) {
  packets_[slot] = packet;
  (*descriptors_)[slot] = {static_cast<uint32_t>(packet->data - pool_->memory()), packet->len,
                           packet->len + packet->tailroom(), epoch_};
}

uint32_t Exchange::Receive(uint32_t max) {
  if (count_ != 0) Release();
  Begin();
  // A port fills what room a batch has: the slots that are not wanted are taken away from its end.
  const uint32_t wanted = std::min(max, kSlots);
  pkt::Batch& in = batch_;
  in.count = kSlots - wanted;
  port_->Receive(in, counters_.lane);
  uint64_t bytes = 0;
  for (uint32_t i = kSlots - wanted; i < in.count; ++i) {
    bytes += in.items[i]->len;
    Describe(count_++, in.items[i]);
  }
  in.Clear();
  if (count_ == 0) return 0;
  counters_.lane.rx_packets.Add(count_);
  counters_.lane.rx_frames.Add(count_);
  counters_.lane.rx_bytes.Add(bytes);
  counters_.lane.rx_batches.Add(1);
  return count_;
}

uint32_t Exchange::Allocate(uint32_t wanted) {
  if (count_ == 0) Begin();
  uint32_t made = 0;
  for (; made < wanted && count_ < kSlots; ++made) {
    pkt::Packet* packet = pool_->Take();
    if (packet == nullptr) break;
    packet->len = packet->tailroom();
    Describe(count_++, packet);
  }
  counters_.allocated.Add(made);
  return made;
}

// Moves the packet to where its descriptor says; false when that is not inside its frame.
bool Exchange::Adopt(uint32_t slot, pkt::Packet* packet) {
  // JavaScript may write while we read (a SharedArrayBuffer it is not, but a copy costs nothing).
  const Descriptor said = (*descriptors_)[slot];
  const auto frame = static_cast<uint64_t>(packet->base - pool_->memory());
  if (said.epoch != epoch_ || said.offset < frame + kHeadroomKept ||
      uint64_t{said.offset} + said.length > frame + packet->capacity)
    return false;
  packet->data = pool_->memory() + said.offset;
  packet->len = said.length;
  // The program may have changed anything: nothing is known of it any more.
  packet->gso = pkt::Gso::kNone;
  packet->checksum = pkt::Checksum::kUnknown;
  packet->gso_size = 0;
  packet->segments = 1;
  packet->inner_offset = 0;
  packet->outer_l4_offset = 0;
  packet->outer_checksum = false;
  return true;
}

uint32_t Exchange::Send(Exchange& to) {
  pkt::Batch& out = batch_;
  const bool own = &to == this;
  for (uint32_t slot = 0; slot < count_; ++slot) {
    pkt::Packet* packet = packets_[slot];
    if ((*descriptors_)[slot].length == 0) {
      counters_.released.Add(1);
      Give(packet);
    } else if (!Adopt(slot, packet)) {
      counters_.lane.Drop(pkt::DropReason::kBadDescriptor, 1);
      Give(packet);
    } else if (packet->len > to.port_->capabilities().frame_bytes_max) {
      counters_.lane.Drop(pkt::DropReason::kTooBig, 1);
      Give(packet);
    } else {
      out.Push(packet);
    }
  }
  const uint32_t handed = out.count;
  count_ = 0;
  // Ends the batch: its descriptors are of an earlier epoch once the next one begins.
  if (handed == 0) return 0;
  if (!own) {
    counters_.passed.Add(handed);
    to.counters_.taken.Add(handed);
  }
  const uint64_t before = to.counters_.lane.tx_packets.Read();
  to.port_->Transmit(out, to.counters_.lane);
  to.port_->Flush();
  return static_cast<uint32_t>(to.counters_.lane.tx_packets.Read() - before);
}

void Exchange::Release() {
  for (uint32_t slot = 0; slot < count_; ++slot) Give(packets_[slot]);
  counters_.released.Add(count_);
  count_ = 0;
}

void Exchange::Give(pkt::Packet* packet) const {
  if (poison_) std::memset(packet->base, kPoison, packet->capacity);
  pkt::Give(packet);
}

const std::vector<std::string>& Exchange::CounterNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all{"received",  "received_bytes", "sent",   "sent_bytes",
                                 "allocated", "taken",          "passed", "released"};
    for (const pkt::DropReasonText& reason : pkt::kDropReasonTexts)
      all.push_back(std::string("drop.") + reason.label);
    return all;
  }();
  return names;
}

void Exchange::ReadCounters(uint64_t* into) const {
  const pkt::LaneCounters& lane = counters_.lane;
  for (const pkt::Counter* counter :
       {&lane.rx_packets, &lane.rx_bytes, &lane.tx_packets, &lane.tx_bytes, &counters_.allocated,
        &counters_.taken, &counters_.passed, &counters_.released})
    *into++ = counter->Read();
  for (const pkt::Counter& drop : lane.drops) *into++ = drop.Read();
}

}  // namespace library
