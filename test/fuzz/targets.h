// The fuzz targets as functions, so that libFuzzer and the ordinary test that replays the corpus
// run the same code. Each takes any bytes; a broken promise is an assertion or a sanitizer report.
#pragma once

#include <linux/rtnetlink.h>

#include "bridge_target.h"
#include "fwd/decode.h"
#include "library_target.h"
#include "netlink/objects.h"
#include "path/coalesce.h"
#include "path/outer_icmp.h"
#include "path/parse.h"
#include "path/segment.h"
#include "port/pcap_format.h"
#include "port/vnet_header.h"
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
  path::Coalesce(batch, *rig.pool, out.box, counters, {});
  out.box.Flush();
  rig.CheckLaws(counters, out.segments);
}

inline void OuterIcmp(const uint8_t* data, size_t size) {
  const auto learned = path::ReadOuterIcmp(*Rig::Get().ordinary, data, static_cast<uint32_t>(size));
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

// What a TAP hands over: an offload header and a frame, through encapsulation and out again.
inline void VnetHeader(const uint8_t* data, size_t size) {
  Rig& rig = Rig::Get();
  Input input(data, size);
  pkt::LaneCounters counters;
  Described forward;
  Count reply, punt;
  const bool udp = (input.Byte() & 1) != 0;
  uint8_t header[port::kVnetTunnelBytes] = {};
  input.Rest(header, port::kVnetBytes);
  pkt::Packet* packet = rig.pool->Take();
  packet->len = static_cast<uint32_t>(input.Rest(packet->data, 65536));
  if (!port::ReadVnetHeader(header, port::kVnetBytes, packet)) return pkt::Give(packet);
  pkt::Batch batch;
  batch.Push(packet);
  path::Encap(rig.Context(udp, counters), batch, forward.box, reply.box, punt.box);
  forward.box.Flush();
  reply.box.Flush();
  punt.box.Flush();
  rig.CheckLaws(counters, forward.segments);
}

inline void Pcap(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> file(data, size);
  const base::Status status = port::PcapReader::Check(file);
  if (!status.ok()) {
    RS_ASSERT(!status.error().detail.empty());
    return;
  }
  port::PcapReader reader(file);
  size_t bytes = 0;
  uint32_t sum = 0;
  for (auto frame = reader.Next(); !frame.empty(); frame = reader.Next()) {
    bytes += frame.size();
    for (const uint8_t byte : frame) sum += byte;
  }
  RS_ASSERT(bytes < size && sum <= 255 * bytes);
}

// A message's type and the body behind its header, as the kernel would send it.
inline void Netlink(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint16_t type = RTM_NEWLINK + input.Byte() % 24;
  std::vector<uint8_t> body(input.size());  // Its own allocation: one byte too far is seen.
  input.Rest(body.data(), body.size());
  (void)netlink::Decode(type, body);
}

struct Target {
  const char* name;
  void (*run)(const uint8_t* data, size_t size);
};
inline constexpr Target kTargets[] = {{"bridge", Bridge},
                                      {"coalesce", Coalesce},
                                      {"decap", Decap},
                                      {"encap", Encap},
                                      {"flow_key", FlowKey},
                                      {"netlink", Netlink},
                                      {"outer_icmp", OuterIcmp},
                                      {"pcap", Pcap},
                                      {"segment", Segment},
                                      {"table", Table},
                                      {"vnet_header", VnetHeader},
                                      {"vni_demux", VniDemux}};

}  // namespace fuzz
