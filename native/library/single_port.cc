#include "library/single_port.h"

#include <algorithm>
#include <cstring>

#include "path/segment.h"

namespace library {

namespace {

// A burst of super-packets gives up to 45 packets each; what finds no frame is counted.
constexpr uint32_t kFrames = 4096;
constexpr uint32_t kFrameBytesMin = 2048;
constexpr uint32_t kFrameStep = 2048;

void CopyPacket(const pkt::Packet& from, pkt::Packet* to) {
  to->len = from.len;
  to->checksum = from.checksum;
  to->csum_start = from.csum_start;
  to->csum_offset = from.csum_offset;
  std::memcpy(to->data, from.data, from.len);
}

}  // namespace

base::Result<std::unique_ptr<SinglePort>> SinglePort::Wrap(std::unique_ptr<port::Port> port) {
  const uint32_t needed = port->capabilities().frame_bytes_max + pkt::kHeadroomBytes;
  const uint32_t bytes =
      std::max(kFrameBytesMin, (needed + kFrameStep - 1) / kFrameStep * kFrameStep);
  auto pool = pkt::FramePool::Create(kFrames, bytes);
  if (!pool.ok()) return pool.error();
  return std::unique_ptr<SinglePort>(new SinglePort(std::move(port), std::move(pool).value()));
}

SinglePort::SinglePort(std::unique_ptr<port::Port> port, std::unique_ptr<pkt::FramePool> pool)
    : port_(std::move(port)), pool_(std::move(pool)), backlog_(kFrames) {}

SinglePort::~SinglePort() {
  for (; next_ < backlog_.packets.size(); ++next_) pkt::Give(backlog_.packets[next_]);
}

uint32_t SinglePort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  if (next_ == backlog_.packets.size()) {
    backlog_.packets.clear();
    next_ = 0;
    port_->Receive(received_, counters);
    for (pkt::Packet* packet : received_) Break(packet, counters);
    received_.Clear();
  }
  uint32_t handed = 0;
  for (; out.room() != 0 && next_ < backlog_.packets.size(); ++handed)
    out.Push(backlog_.packets[next_++]);
  return handed;
}

// What finds no frame was received all the same.
void SinglePort::Break(pkt::Packet* packet, pkt::LaneCounters& counters) {
  if (!packet->super_packet()) return Copy(packet, counters);
  pkt::LaneCounters lost;
  pkt::Outbox outbox(backlog_);
  path::Segment(packet, *pool_, outbox, lost);
  outbox.Flush();
  for (uint32_t i = 0; i < pkt::kDropReasons; ++i) {
    counters.drops[i].Add(lost.drops[i].Read());
    counters.rx_packets.Add(lost.drops[i].Read());
  }
}

void SinglePort::Copy(pkt::Packet* packet, pkt::LaneCounters& counters) {
  pkt::Packet* copy = pool_->Take();
  if (copy == nullptr || copy->tailroom() < packet->len) {
    counters.rx_packets.Add(1);
    counters.rx_frames.Add(1);
    counters.rx_bytes.Add(packet->len);
    counters.Drop(copy == nullptr ? pkt::DropReason::kNoFrame : pkt::DropReason::kTooBig, 1);
    if (copy != nullptr) pkt::Give(copy);
  } else {
    CopyPacket(*packet, copy);
    if (copy->checksum == pkt::Checksum::kPartial) path::FillChecksum(copy);
    backlog_.packets.push_back(copy);
  }
  pkt::Give(packet);
}

}  // namespace library
