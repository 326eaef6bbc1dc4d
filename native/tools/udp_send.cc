// Sends numbered UDP packets at a set rate, in batches, from one socket a flow. One thread, which
// sleeps between batches: a generator that spins would take the core that the measured path needs.
#include "tools/udp_send.h"

#include <netinet/udp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tools/load_packet.h"
#include "tools/socket_address.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18.
#endif

namespace tools {
namespace {

constexpr uint32_t kBatch = 64;
constexpr uint64_t kPauseMinNs = 50'000;

struct Plan {
  SocketAddress to;
  uint64_t rate;      // Packets a second; 0: as fast as the socket takes them.
  uint32_t size;      // Payload bytes.
  uint32_t flows;     // Source ports.
  uint32_t segments;  // Packets handed over in one call with UDP_SEGMENT; 1: without.
  uint64_t packets;   // In all; 0: until the time is over.
  uint64_t duration_ns;
};

struct Outcome {
  uint64_t sent = 0;
  uint64_t refused = 0;     // Buffer full or ICMP error; the number is used up.
  uint64_t behind_max = 0;  // Packets that were overdue at once, when the machine kept us waiting.
  uint64_t ns = 0;
};

std::vector<base::UniqueFd> OpenFlows(const Plan& plan) {
  std::vector<base::UniqueFd> sockets;
  for (uint32_t i = 0; i < plan.flows; i++) {
    base::UniqueFd fd(socket(plan.to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid() || connect(fd.get(), plan.to.get(), plan.to.length) != 0) {
      Fail(std::string("cannot send to the address: ") + strerror(errno));
    }
    const int bytes = 4 << 20;
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    sockets.push_back(std::move(fd));
  }
  return sockets;
}

class Sender {
 public:
  explicit Sender(const Plan& plan)
      : plan_(plan),
        sockets_(OpenFlows(plan)),
        next_(plan.flows),
        buffer_(static_cast<size_t>(kBatch) * plan.segments * plan.size) {
    const uint32_t slots = kBatch * plan.segments;
    for (uint32_t i = 0; i < slots; i++) FillPattern(buffer_.data() + i * plan.size, plan.size);
  }

  Outcome Run() {
    Outcome outcome;
    const uint64_t start = base::MonotonicNs();
    for (;;) {
      const uint64_t now = base::MonotonicNs();
      outcome.ns = now - start;
      const uint64_t done = outcome.sent + outcome.refused;
      if (outcome.ns >= plan_.duration_ns || (plan_.packets != 0 && done >= plan_.packets)) break;
      const uint64_t due = Due(outcome.ns);
      if (due <= done) {
        Pause(start + (done + plan_.segments) * 1'000'000'000ULL / plan_.rate, now);
        continue;
      }
      if (plan_.rate != 0) outcome.behind_max = std::max(outcome.behind_max, due - done);
      Burst(due - done, now, outcome);
    }
    return outcome;
  }

 private:
  uint64_t Due(uint64_t elapsed_ns) const {
    const auto paced = static_cast<uint64_t>(static_cast<double>(elapsed_ns) *
                                             static_cast<double>(plan_.rate) / 1e9);
    const uint64_t due = plan_.rate == 0 ? UINT64_MAX : paced;
    return plan_.packets == 0 ? due : std::min(due, plan_.packets);
  }

  static void Pause(uint64_t until_ns, uint64_t now_ns) {
    const uint64_t pause = std::max(kPauseMinNs, until_ns > now_ns ? until_ns - now_ns : 0);
    const timespec sleep = {static_cast<time_t>(pause / 1'000'000'000ULL),
                            static_cast<long>(pause % 1'000'000'000ULL)};
    nanosleep(&sleep, nullptr);
  }

  // Sends at most one batch; flows take turns, each with its share of the batch.
  void Burst(uint64_t packets, uint64_t now, Outcome& outcome) {
    const uint32_t share = std::max(1U, kBatch / plan_.flows);
    const auto messages = static_cast<uint32_t>(
        std::min<uint64_t>(share, (packets + plan_.segments - 1) / plan_.segments));
    const uint32_t flow = turn_;
    turn_ = (turn_ + 1) % plan_.flows;
    for (uint32_t i = 0; i < messages; i++) Prepare(i, flow, now);
    uint32_t at = 0;
    while (at < messages) {
      const int taken = sendmmsg(sockets_[flow].get(), messages_ + at, messages - at, 0);
      if (taken < 0 && errno == EINTR) continue;
      if (taken <= 0) {
        outcome.refused += plan_.segments;
        at++;
        continue;
      }
      at += static_cast<uint32_t>(taken);
      outcome.sent += static_cast<uint64_t>(taken) * plan_.segments;
    }
  }

  void Prepare(uint32_t slot, uint32_t flow, uint64_t now) {
    uint8_t* data = buffer_.data() + static_cast<size_t>(slot) * plan_.segments * plan_.size;
    for (uint32_t i = 0; i < plan_.segments; i++) {
      SealPacket(data + i * plan_.size, plan_.size, {kLoadMagic, flow, next_[flow]++, now});
    }
    vectors_[slot] = {data, static_cast<size_t>(plan_.segments) * plan_.size};
    msghdr& message = messages_[slot].msg_hdr;
    message = {};
    message.msg_iov = &vectors_[slot];
    message.msg_iovlen = 1;
    if (plan_.segments == 1) return;
    message.msg_control = controls_[slot].bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
    cmsghdr* control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto size = static_cast<uint16_t>(plan_.size);
    memcpy(CMSG_DATA(control), &size, sizeof size);
  }

  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  const Plan& plan_;
  std::vector<base::UniqueFd> sockets_;
  std::vector<uint64_t> next_;  // Next number of each flow.
  std::vector<uint8_t> buffer_;
  uint32_t turn_ = 0;
  mmsghdr messages_[kBatch] = {};
  iovec vectors_[kBatch] = {};
  Control controls_[kBatch] = {};
};

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int UdpSend(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  Plan plan;
  const std::string host = arguments.Text("to", nullptr);
  plan.to = ParseAddress(host, arguments.Number("port", "7777", 1, 65535));
  plan.rate = arguments.Number("rate", "0", 0, 100'000'000);
  plan.size = static_cast<uint32_t>(arguments.Number("size", "64", kLoadBytesMin, kLoadBytesMax));
  plan.flows = static_cast<uint32_t>(arguments.Number("flows", "1", 1, 4096));
  plan.segments = static_cast<uint32_t>(arguments.Number("segments", "1", 1, 64));
  plan.packets = arguments.Number("packets", "0", 0, UINT64_MAX);
  plan.duration_ns = arguments.Number("milliseconds", "10000", 1, 3'600'000) * 1'000'000ULL;
  arguments.Finish();
  if (plan.segments * plan.size > kLoadBytesMax)
    Fail("--segments times --size must not exceed 65507");
  if (plan.packets % plan.segments != 0) Fail("--packets must be a multiple of --segments");
  prctl(PR_SET_TIMERSLACK, 1UL);

  Sender sender(plan);
  const Outcome outcome = sender.Run();
  const double seconds = static_cast<double>(outcome.ns) / 1e9;
  printf(
      "{\"sent\":%lu,\"refused\":%lu,\"behind_max\":%lu,\"seconds\":%.6f,\"rate\":%.1f,"
      "\"cpu_seconds\":%.4f}\n",
      outcome.sent, outcome.refused, outcome.behind_max, seconds,
      static_cast<double>(outcome.sent) / seconds, CpuSeconds());
  return 0;
}

}  // namespace tools
