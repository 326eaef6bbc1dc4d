// Captures: the filter against programs that libpcap compiled, the ring when nobody reads, and what
// a lane shows at each point.
#include <gtest/gtest.h>

#include <thread>

#include "capture/tap.h"
#include "engine/lane.h"
#include "node.h"
#include "port/memory_port.h"

namespace {

using capture::Direction;
using capture::Point;
using capture::Record;
using capture::Session;
using capture::SocketFilter;
using frames::Bytes;
using namespace testing_node;

// tcpdump -ddd -y EN10MB 'udp port 53'
constexpr sock_filter kUdpPort53[] = {
    {40, 0, 0, 12},  {21, 0, 6, 34525}, {48, 0, 0, 20},   {21, 0, 15, 17},   {40, 0, 0, 54},
    {21, 12, 0, 53}, {40, 0, 0, 56},    {21, 10, 11, 53}, {21, 0, 10, 2048}, {48, 0, 0, 23},
    {21, 0, 8, 17},  {40, 0, 0, 20},    {69, 6, 0, 8191}, {177, 0, 0, 14},   {72, 0, 0, 14},
    {21, 2, 0, 53},  {72, 0, 0, 16},    {21, 0, 1, 53},   {6, 0, 0, 262144}, {6, 0, 0, 0}};

SocketFilter Filter(std::span<const sock_filter> program) {
  auto checked = SocketFilter::Check(program);
  EXPECT_TRUE(checked.ok()) << checked.error().detail;
  return std::move(checked).value();
}

Bytes Datagram(int family, int to_port, size_t payload = 32) {
  const frames::Ip ip{Pod(1, family), Pod(2, family)};
  return frames::Ethernet(
      VtepMac(2), VtepMac(1), frames::EtherType(Pod(1, family)),
      frames::IpPacket(ip, frames::Udp(ip.from, ip.to, 1111, to_port, frames::Pattern(payload))));
}

struct Seen {
  Record record;
  Bytes frame;
};

std::vector<Seen> ReadAll(Session& session) {
  std::vector<Seen> all;
  std::vector<uint8_t> into(1 << 20);
  while (const uint32_t bytes = session.Read(into)) {
    for (uint32_t at = 0; at < bytes;) {
      Seen seen;
      std::memcpy(&seen.record, into.data() + at, sizeof(Record));
      seen.frame.assign(into.data() + at + sizeof(Record),
                        into.data() + at + sizeof(Record) + seen.record.captured);
      at += seen.record.bytes;
      all.push_back(std::move(seen));
    }
  }
  return all;
}

TEST(SocketFilter, AnswersAsLibpcapMeantIt) {
  const SocketFilter filter = Filter(kUdpPort53);
  for (const int family : {4, 6}) {
    const Bytes match = Datagram(family, 53), other = Datagram(family, 54);
    EXPECT_EQ(filter.Run(match.data(), static_cast<uint32_t>(match.size())), 262144U) << family;
    EXPECT_EQ(filter.Run(other.data(), static_cast<uint32_t>(other.size())), 0U) << family;
  }
  // Every cut of a frame that would match: it ends before the port, so it does not.
  const Bytes whole = Datagram(4, 53);
  for (uint32_t bytes = 0; bytes < 14 + 20 + 4; ++bytes)
    EXPECT_EQ(filter.Run(whole.data(), bytes), 0U) << bytes;
}

TEST(SocketFilter, RefusesProgramsThatCouldHarm) {
  const std::vector<std::vector<sock_filter>> bad = {
      {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}},                      // No return.
      {{BPF_JMP | BPF_JA, 0, 0, 1}, {BPF_RET | BPF_K, 0, 0, 1}},  // Out of the program.
      {{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, {BPF_RET | BPF_K, 0, 0, 1}},
      {{BPF_JMP | BPF_JEQ | BPF_K, 0, 9, 1}, {BPF_RET | BPF_K, 0, 0, 1}},
      {{BPF_ST, 0, 0, 16}, {BPF_RET | BPF_K, 0, 0, 1}},  // No such word.
      {{BPF_LD | BPF_MEM, 0, 0, 99}, {BPF_RET | BPF_K, 0, 0, 1}},
      {{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, 1}},
      {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0xfffff000}, {BPF_RET | BPF_K, 0, 0, 1}},  // Extension.
      {{0xffff, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, 1}},
      std::vector<sock_filter>(BPF_MAXINSNS + 1, sock_filter{BPF_RET | BPF_K, 0, 0, 1}),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    auto checked = SocketFilter::Check(bad[i]);
    ASSERT_FALSE(checked.ok()) << i;
    EXPECT_EQ(checked.error().code, "CAPTURE_FILTER_BAD") << i;
  }
}

// Whatever Check lets through must end and stay inside the frame (the sanitizers watch).
TEST(SocketFilter, RunsRandomProgramsSafely) {
  uint64_t state = 88172645463325252ULL;
  const auto next = [&state] {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<uint32_t>(state >> 16);
  };
  constexpr uint16_t kCodes[] = {BPF_LD | BPF_W | BPF_ABS,
                                 BPF_LD | BPF_H | BPF_IND,
                                 BPF_LD | BPF_B | BPF_IND,
                                 BPF_LDX | BPF_B | BPF_MSH,
                                 BPF_LD | BPF_MEM,
                                 BPF_LDX | BPF_MEM,
                                 BPF_ST,
                                 BPF_STX,
                                 BPF_ALU | BPF_ADD | BPF_X,
                                 BPF_ALU | BPF_DIV | BPF_X,
                                 BPF_ALU | BPF_LSH | BPF_K,
                                 BPF_ALU | BPF_NEG,
                                 BPF_JMP | BPF_JEQ | BPF_K,
                                 BPF_JMP | BPF_JGT | BPF_X,
                                 BPF_JMP | BPF_JA,
                                 BPF_MISC | BPF_TAX,
                                 BPF_MISC | BPF_TXA,
                                 BPF_RET | BPF_K,
                                 BPF_RET | BPF_A};
  uint32_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<sock_filter> program(1 + next() % 12);
    for (sock_filter& op : program) {
      op = {kCodes[next() % std::size(kCodes)], static_cast<uint8_t>(next() % 4),
            static_cast<uint8_t>(next() % 4), next() % 3 == 0 ? next() : next() % 20};
    }
    program.push_back({BPF_RET | BPF_K, 0, 0, 1});
    auto checked = SocketFilter::Check(program);
    if (!checked.ok()) continue;
    ++accepted;
    const Bytes frame(next() % 40, static_cast<uint8_t>(next()));
    checked->Run(frame.data(), static_cast<uint32_t>(frame.size()));
  }
  EXPECT_GT(accepted, 2'000U);
}

TEST(Capture, KeepsEveryRecordWholeWhileTheRingGoesRoundUnderAReader) {
  Session session({7, 65536, {}}, 3);
  constexpr uint32_t kFrames = 60'000;  // Some ten rings.
  const pkt::Packet shape;
  std::atomic<bool> done = false;
  std::thread writer([&] {
    Bytes frame(2000);
    for (uint32_t i = 0; i < kFrames; ++i) {
      const uint32_t bytes = 60 + i * 7 % 1900;
      std::memcpy(frame.data(), &i, sizeof i);
      frame[bytes - 1] = static_cast<uint8_t>(i);
      session.Add(frame.data(), bytes, shape, Point::kOverlay, Direction::kOut, capture::kNoReason,
                  i);
    }
    done.store(true);
  });
  uint64_t read = 0, last = 0;
  for (bool end = false; !end;) {
    end = done.load();
    for (const Seen& seen : ReadAll(session)) {
      uint32_t number;
      std::memcpy(&number, seen.frame.data(), sizeof number);
      ASSERT_EQ(seen.record.time_ns, number);
      ASSERT_EQ(seen.frame.size(), 60 + number * 7 % 1900);
      ASSERT_EQ(seen.frame.back(), static_cast<uint8_t>(number));
      ASSERT_TRUE(read == 0 || number > last);
      ASSERT_EQ(seen.record.worker, 3);
      last = number;
      ++read;
    }
  }
  writer.join();
  EXPECT_EQ(session.matched(), kFrames);
  EXPECT_EQ(read + session.lost(), kFrames);
  EXPECT_GT(read, 1000U);
}

TEST(Capture, CountsWhatAFullRingLoses) {
  Session session({7, 1024, {}}, 0);
  const Bytes frame(4000);
  const pkt::Packet shape;
  constexpr uint32_t kFrames = 2 * Session::kRingBytes / 1056;
  for (uint32_t i = 0; i < kFrames; ++i)
    session.Add(frame.data(), 4000, shape, Point::kUnderlay, Direction::kIn, 7, 1);
  const auto all = ReadAll(session);
  EXPECT_EQ(all.size() + session.lost(), kFrames);
  EXPECT_GT(session.lost(), 0U);
  EXPECT_EQ(all[0].record.original, 4000U);
  EXPECT_EQ(all[0].record.captured, 1024U);
}

struct Lanes {
  std::unique_ptr<const fwd::Snapshot> table;
  std::unique_ptr<port::MemoryPort> pods, overlay, wire, underlay;
  std::unique_ptr<pkt::FramePool> segments, big;
  capture::Tap tap;
  std::unique_ptr<engine::EncapLane> encap;
  std::unique_ptr<engine::DecapLane> decap;
  pkt::LaneCounters outside;

  Lanes() {
    TableBuilder builder(1);
    builder.AddPeer(2, 4, 4);
    fwd::Format format;
    format.vni = 1;
    format.port = 8472;
    table = builder.Build(format);
    auto up = port::MemoryPort::OpenPair({});
    auto down = port::MemoryPort::OpenPair({});
    pods = std::move(up->first), overlay = std::move(up->second);
    underlay = std::move(down->first), wire = std::move(down->second);
    segments = std::move(pkt::FramePool::Create(64, 4096)).value();
    big = std::move(pkt::FramePool::Create(8, 69632)).value();
    encap = std::make_unique<engine::EncapLane>(*overlay, *underlay, *segments, *big, tap);
    decap = std::make_unique<engine::DecapLane>(*underlay, *overlay, *segments, *big, tap);
  }
  void Send(port::MemoryPort& from, const Bytes& frame) {
    pkt::Batch batch;
    pkt::Packet* packet = from.pool().Take();
    std::memcpy(packet->data, frame.data(), frame.size());
    packet->len = static_cast<uint32_t>(frame.size());
    batch.Push(packet);
    from.Transmit(batch, outside);
    from.Flush();
  }
  void Round() {
    tap.Adopt(1'000'000'000'000);
    encap->Run(table.get(), 1'000'000'000'000);
    decap->Run(table.get(), 1'000'000'000'000);
    overlay->Flush();
    underlay->Flush();
  }
  Session& Start(uint32_t points) {
    tap.Start(std::make_unique<Session>(capture::Request{points, 4096, {}}, 0));
    return *tap.running();
  }
};

TEST(Capture, ShowsTheInnerPacketAtTheOverlayAndTheOuterOneAtTheUnderlay) {
  Lanes lanes;
  Session& session = lanes.Start(3);
  const Bytes frame = Datagram(4, 53);
  lanes.Send(*lanes.pods, frame);
  lanes.Round();
  const auto all = ReadAll(session);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].record.point, static_cast<uint8_t>(Point::kOverlay));
  EXPECT_EQ(all[0].record.direction, static_cast<uint8_t>(Direction::kIn));
  EXPECT_EQ(all[0].frame, frame);
  EXPECT_EQ(all[1].record.point, static_cast<uint8_t>(Point::kUnderlay));
  EXPECT_EQ(all[1].record.direction, static_cast<uint8_t>(Direction::kOut));
  EXPECT_EQ(all[1].frame.size(), frame.size() + 50);
}

TEST(Capture, ShowsADroppedPacketAsItCameWithItsReason) {
  Lanes lanes;
  Session& session = lanes.Start(static_cast<uint32_t>(Point::kDrop));
  Bytes stranger = Datagram(4, 53);
  lanes.Send(*lanes.wire, stranger);         // Not for us.
  lanes.Send(*lanes.pods, Datagram(4, 53));  // Fine.
  Bytes loop = Datagram(4, 53);
  loop[14 + 12] = 192;  // Inner source of somebody else.
  lanes.Send(*lanes.pods, loop);
  lanes.Round();
  const auto all = ReadAll(session);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].frame, loop);
  EXPECT_STREQ(pkt::kDropReasonTexts[all[0].record.reason].label, "inner_src");
  EXPECT_EQ(all[1].frame, stranger);
  EXPECT_STREQ(pkt::kDropReasonTexts[all[1].record.reason].label, "not_ours");
}

TEST(Capture, IsOffAgainAfterStopAndFreesWhatTheWorkerHasLeft) {
  Lanes lanes;
  lanes.Start(7);
  lanes.Round();
  EXPECT_TRUE(lanes.tap.on(Point::kDrop));
  std::thread worker([&] {
    while (lanes.tap.on(Point::kDrop)) lanes.Round();
  });
  lanes.tap.Stop();
  worker.join();
  EXPECT_EQ(lanes.tap.running(), nullptr);
  lanes.Send(*lanes.pods, Datagram(4, 53));
  lanes.Round();
}

}  // namespace
