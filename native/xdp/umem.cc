#include "xdp/umem.h"

#include <utility>

#include "base/assert.h"

namespace xdp {

base::Result<std::shared_ptr<Umem>> Umem::Create(uint32_t frames) {
  auto pool = pkt::FramePool::Create(frames, kFrameBytes);
  if (!pool.ok()) return pool.error();
  return std::make_shared<Umem>(std::move(pool).value());
}

Umem::Umem(std::unique_ptr<pkt::FramePool> pool) : pool_(std::move(pool)), tags_(pool_->frames()) {}

uint64_t Umem::GiveToFill(pkt::Packet* packet) {
  Tag& tag = tags_[packet->index];
  RS_ASSERT(Owns(packet) && tag.holder == Holder::kProcess);
  tag = {Holder::kFill, socket_id_};
  ++in_fill_;
  return uint64_t{packet->index} * kFrameBytes;
}

uint64_t Umem::GiveToTx(pkt::Packet* packet) {
  Tag& tag = tags_[packet->index];
  RS_ASSERT(Owns(packet) && tag.holder == Holder::kProcess);
  tag = {Holder::kTx, socket_id_};
  ++in_tx_;
  return uint64_t{packet->index} * kFrameBytes + packet->headroom();
}

pkt::Packet* Umem::FrameAt(uint64_t address, Holder expected) {
  const uint64_t index = address / kFrameBytes;
  if (index >= tags_.size() || tags_[index].holder != expected) return nullptr;
  return pool_->At(static_cast<uint32_t>(index));
}

pkt::Packet* Umem::TakeReceived(uint64_t address, uint32_t len) {
  const uint32_t offset = static_cast<uint32_t>(address % kFrameBytes);
  if (len > kFrameBytes - offset) return nullptr;
  pkt::Packet* packet = FrameAt(address, Holder::kFill);
  if (packet == nullptr) return nullptr;
  tags_[packet->index].holder = Holder::kProcess;
  --in_fill_;
  packet->data = packet->base + offset;
  packet->len = len;
  return packet;
}

pkt::Packet* Umem::TakeSent(uint64_t address) {
  pkt::Packet* packet = FrameAt(address, Holder::kTx);
  if (packet == nullptr) return nullptr;
  tags_[packet->index].holder = Holder::kProcess;
  --in_tx_;
  return packet;
}

void Umem::ReclaimFrom(uint16_t socket_id) {
  for (uint32_t i = 0; i < tags_.size(); ++i) {
    if (tags_[i].holder == Holder::kProcess || tags_[i].socket_id != socket_id) continue;
    if (tags_[i].holder == Holder::kFill) --in_fill_;
    if (tags_[i].holder == Holder::kTx) --in_tx_;
    tags_[i].holder = Holder::kProcess;
    pool_->Give(pool_->At(i));
  }
}

Census Umem::census() const {
  Census census;
  census.total = pool_->frames();
  census.free = pool_->available();
  census.fill = in_fill_;
  census.tx = in_tx_;
  census.lent = census.total - census.free - census.fill - census.tx;
  return census;
}

}  // namespace xdp
