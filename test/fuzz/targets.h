// The fuzz targets as functions, so that libFuzzer and the ordinary test that replays the corpus
// run the same code. Each takes any bytes; a broken promise is an assertion or a sanitizer report.
#pragma once

#include "fwd/decode.h"
#include "path/coalesce.h"
#include "path/outer_icmp.h"
#include "path/parse.h"
#include "path/segment.h"
#include "rig.h"

namespace fuzz {

inline void Decap(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  Count delivered;
  const bool udp = (input.Byte() & 1) != 0;
  pkt::Batch batch;
  batch.Push(rig.Packet(input, 65536));
  path::Decap(rig.Context(udp, counters), batch, delivered.box);
  delivered.box.Flush();
  rig.CheckLaws(counters, delivered.segments);
}

inline void Encap(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  Count forward, reply, punt;
  const bool udp = (input.Byte() & 1) != 0;
  pkt::Batch batch;
  batch.Push(rig.Packet(input, 65536));
  path::Encap(rig.Context(udp, counters), batch, forward.box, reply.box, punt.box);
  forward.box.Flush();
  reply.box.Flush();
  punt.box.Flush();
  rig.CheckLaws(counters, forward.segments);
}

inline void Segment(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  Count pieces;
  pkt::Packet* packet = rig.Packet(input, 65536);
  // Counted as its port would have: by what the headers say, or as one packet when they say
  // nonsense.
  path::IpView view;
  const uint16_t type =
      packet->len > 14 && packet->data[14] >> 4 == 4 ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6;
  if (packet->len > 14 &&
      path::ParseIp(packet->data + 14, packet->len - 14, type, view) == path::kPass) {
    path::CheckOffload(*packet, 14, view);
  }
  counters.rx_packets.Add(packet->segments);
  path::Segment(packet, *rig.pool, pieces.box, counters);
  pieces.box.Flush();
  rig.CheckLaws(counters, pieces.segments);
}

// Up to 64 packets, each behind its length.
inline void Coalesce(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  Count out;
  pkt::Batch batch;
  while (input.size() != 0 && batch.room() != 0) {
    const uint16_t bytes = input.Word() % 1600;
    batch.Push(rig.Packet(input, bytes));
    counters.rx_packets.Add(1);
  }
  path::Coalesce(batch, *rig.pool, out.box, counters, true);
  out.box.Flush();
  rig.CheckLaws(counters, out.segments);
}

inline void OuterIcmp(const uint8_t* data, size_t size) {
  const auto learned =
      path::ReadOuterIcmp(*Rig::Get().tables[0], data, static_cast<uint32_t>(size));
  if (learned) RS_ASSERT(learned->mtu >= 552 && learned->mtu < 1500);
}

inline void Table(const uint8_t* data, size_t size) {
  fwd::Format format;
  if (size != 0 && (data[size - 1] & 1) != 0) format.encapsulation = fwd::Encapsulation::kUdp;
  auto built = fwd::Snapshot::Build({data, size}, format);
  if (!built) {
    RS_ASSERT(!built.error().detail.empty());
    return;
  }
  const fwd::Snapshot& table = **built;
  uint8_t address[16] = {};
  std::memcpy(address, data, std::min<size_t>(size, sizeof address));
  const auto sound = [&](uint32_t peer) {
    return peer < table.peers().size() || peer == fwd::kNoPeer || peer == fwd::kLocal;
  };
  RS_ASSERT(sound(table.FindInner4(base::Load<uint32_t>(address))) &&
            sound(table.FindInner6(address)));
  RS_ASSERT(sound(table.FindVtep(address, net::kEtherTypeIpv6)) &&
            sound(table.FindUnderlay6(address)));
}

struct Target {
  const char* name;
  void (*run)(const uint8_t* data, size_t size);
};
inline constexpr Target kTargets[] = {{"coalesce", Coalesce}, {"decap", Decap},
                                      {"encap", Encap},       {"outer_icmp", OuterIcmp},
                                      {"segment", Segment},   {"table", Table}};

}  // namespace fuzz
