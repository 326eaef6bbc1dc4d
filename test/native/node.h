// One overlay node for the native path tests: a table, a pool, a lane each way, and what came out
// of them. Node 1 holds 10.244.1.0/24 and fd00:1::/64, node 2 holds 10.244.2.0/24 and fd00:2::/64,
// and so on.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "base/assert.h"
#include "path/decap.h"
#include "path/encap.h"
#include "pkt/frame_pool.h"
#include "table_builder.h"

namespace testing_node {

// Keeps what reaches it.
struct Collector final : pkt::Drain {
  std::vector<pkt::Packet*> packets;
  pkt::Outbox box{*this};

  void Take(pkt::Batch& batch) override {
    packets.insert(packets.end(), batch.begin(), batch.end());
    batch.Clear();
  }
  uint64_t segments() const {
    uint64_t sum = 0;
    for (const pkt::Packet* packet : packets) sum += packet->segments;
    return sum;
  }
};

inline Bytes BytesOf(const pkt::Packet& packet) {
  return Bytes(packet.data, packet.data + packet.len);
}

struct Node {
  std::unique_ptr<const fwd::Snapshot> table;
  std::unique_ptr<pkt::FramePool> pool;
  pkt::LaneCounters counters;
  path::ReplyLimiter replies;
  uint64_t now_ns = 1'000'000'000'000;
  Collector forward, reply, punt;

  Node(TableBuilder builder, const fwd::Format& format, uint32_t frame_bytes = 4096,
       uint32_t frames = 512)
      : table(builder.Build(format)),
        pool(std::move(pkt::FramePool::Create(frames, frame_bytes)).value()) {}
  ~Node() {
    GiveBack();
    EXPECT_EQ(pool->available(), pool->frames()) << "a frame was lost";
  }

  void GiveBack() {
    given_back_segments += forward.segments();
    for (Collector* from : {&forward, &reply, &punt}) {
      for (pkt::Packet* packet : from->packets) pkt::Give(packet);
      from->packets.clear();
    }
  }
  pkt::Packet* Packet(const Bytes& frame) {
    pkt::Packet* packet = pool->Take();
    RS_ASSERT(packet != nullptr && frame.size() <= packet->tailroom());
    if (!frame.empty()) std::memcpy(packet->data, frame.data(), frame.size());
    packet->len = static_cast<uint32_t>(frame.size());
    return packet;
  }
  path::Context Context() { return {*table, counters, now_ns, replies, *pool}; }
  void Encap(pkt::Packet* packet) {
    pkt::Batch batch;
    batch.Push(packet);
    path::Encap(Context(), batch, forward.box, reply.box, punt.box);
    Finish();
  }
  void Decap(pkt::Packet* packet) {
    pkt::Batch batch;
    batch.Push(packet);
    path::Decap(Context(), batch, forward.box);
    Finish();
  }
  void Finish() {
    forward.box.Flush();
    reply.box.Flush();
    punt.box.Flush();
    ExpectLaw();
  }
  uint64_t Drops(pkt::DropReason reason) const {
    return counters.drops[static_cast<uint32_t>(reason)].Read();
  }
  uint64_t AllDrops() const {
    uint64_t sum = 0;
    for (const pkt::Counter& drop : counters.drops) sum += drop.Read();
    return sum;
  }
  // The law of pkt/counters.h, with the collector in the place of the far port. Call before
  // GiveBack.
  uint64_t given_back_segments = 0;
  void ExpectLaw() const {
    EXPECT_EQ(counters.rx_packets.Read(), given_back_segments + forward.segments() +
                                              counters.punts.Read() + counters.replies.Read() +
                                              AllDrops());
  }
};

}  // namespace testing_node
