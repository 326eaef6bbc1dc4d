// Receives what udp_load sends and accounts for every packet: whole or corrupt, once or twice, in
// order or not, and how long it took. One thread. SIGTERM ends it: what is still under way is
// awaited until the socket has been quiet, longer while packets are missing.
#include "tools/udp_sink.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tools/histogram.h"
#include "tools/load_packet.h"
#include "tools/sequence_window.h"
#include "tools/socket_address.h"

namespace tools {
namespace {

constexpr uint32_t kBatch = 64;
constexpr uint32_t kFlowsMax = 4096;

volatile sig_atomic_t g_ending = 0;

struct Totals {
  SequenceCounts sequences;
  uint64_t received = 0;
  uint64_t bytes = 0;
  uint64_t corrupt = 0;
  uint64_t foreign = 0;
  uint64_t socket_drops = 0;  // Lost here, in our own receive buffer: not the network's fault.
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  uint64_t gap_max_ns = 0;  // Longest time without a packet, between the first and the last.
  // Longest time, by the sender's clock, of which nothing arrived though something was sent: holds
  // what the network lost, and not what the machine kept from us. Of flow 0.
  uint64_t outage_max_ns = 0;
  Histogram latency;
};

base::UniqueFd OpenSink(const SocketAddress& address) {
  base::UniqueFd fd(socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() || bind(fd.get(), address.get(), address.length) != 0) {
    Fail(std::string("cannot bind the sink: ") + strerror(errno));
  }
  const int bytes = 64 << 20;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  return fd;
}

// When it has been quiet for long enough to close the account.
struct Patience {
  uint64_t packets = 0;  // So many are sent; 0: nobody knows.
  uint64_t quiet_ms = 0;
  uint64_t missing_quiet_ms = 0;  // While some of them are missing: the machine may be busy.
};

class Sink {
 public:
  explicit Sink(const SocketAddress& address)
      : fd_(OpenSink(address)),
        flows_(kFlowsMax),
        buffer_(static_cast<size_t>(kBatch) * kLoadBytesMax) {}

  // Until SIGTERM and then a time without a packet, or until `limit_ms` are over.
  void Run(const Patience& patience, uint64_t limit_ms) {
    const uint64_t deadline = base::MonotonicNs() + limit_ms * 1'000'000ULL;
    uint64_t quiet_since = base::MonotonicNs();
    while (base::MonotonicNs() < deadline) {
      pollfd wait = {fd_.get(), POLLIN, 0};
      const int timeout_ms = g_ending != 0 ? 5 : 100;
      if (poll(&wait, 1, timeout_ms) > 0) {
        while (ReceiveBatch()) {
        }
        quiet_since = base::MonotonicNs();
      } else if (g_ending != 0) {
        const bool missing = totals_.sequences.unique < patience.packets;
        const uint64_t quiet_ms = missing ? patience.missing_quiet_ms : patience.quiet_ms;
        if (base::MonotonicNs() - quiet_since >= quiet_ms * 1'000'000ULL) return;
      }
    }
  }

  const Totals& totals() const { return totals_; }

 private:
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(uint32_t))];
  };

  bool ReceiveBatch() {
    for (uint32_t i = 0; i < kBatch; i++) {
      vectors_[i] = {buffer_.data() + static_cast<size_t>(i) * kLoadBytesMax, kLoadBytesMax};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      messages_[i].msg_hdr.msg_control = controls_[i].bytes;
      messages_[i].msg_hdr.msg_controllen = sizeof controls_[i].bytes;
    }
    const int count = recvmmsg(fd_.get(), messages_, kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return false;
    const uint64_t now = base::MonotonicNs();
    if (totals_.first_ns == 0) totals_.first_ns = now;
    if (totals_.last_ns != 0 && now - totals_.last_ns > totals_.gap_max_ns) {
      totals_.gap_max_ns = now - totals_.last_ns;
    }
    totals_.last_ns = now;
    for (int i = 0; i < count; i++) Account(static_cast<uint32_t>(i), now);
    return static_cast<uint32_t>(count) == kBatch;
  }

  void Account(uint32_t slot, uint64_t now) {
    totals_.received++;
    totals_.bytes += messages_[slot].msg_len;
    const auto* data = static_cast<const uint8_t*>(vectors_[slot].iov_base);
    LoadHeader header;
    const LoadCheck check = CheckPacket(data, messages_[slot].msg_len, &header);
    if (check == LoadCheck::kGood && header.flow < kFlowsMax) {
      if (!flows_[header.flow]) flows_[header.flow] = std::make_unique<SequenceWindow>();
      flows_[header.flow]->Take(header.sequence, totals_.sequences);
      totals_.latency.Add(now > header.sent_ns ? now - header.sent_ns : 0);
      if (header.flow == 0) SeeOutage(header);
    } else if (check == LoadCheck::kCorrupt) {
      totals_.corrupt++;
    } else {
      totals_.foreign++;
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&messages_[slot].msg_hdr); c != nullptr;
         c = CMSG_NXTHDR(&messages_[slot].msg_hdr, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL) continue;
      uint32_t drops;
      memcpy(&drops, CMSG_DATA(c), sizeof drops);
      totals_.socket_drops = drops;
    }
  }

  void SeeOutage(const LoadHeader& header) {
    if (last_sent_ns_ != 0 && header.sequence <= last_sequence_) return;
    if (last_sent_ns_ != 0 && header.sequence != last_sequence_ + 1)
      totals_.outage_max_ns = std::max(totals_.outage_max_ns, header.sent_ns - last_sent_ns_);
    last_sequence_ = header.sequence;
    last_sent_ns_ = header.sent_ns;
  }

  base::UniqueFd fd_;
  uint64_t last_sequence_ = 0;
  uint64_t last_sent_ns_ = 0;
  std::vector<std::unique_ptr<SequenceWindow>> flows_;
  std::vector<uint8_t> buffer_;
  mmsghdr messages_[kBatch] = {};
  iovec vectors_[kBatch] = {};
  Control controls_[kBatch] = {};
  Totals totals_;
};

void Print(const Totals& t) {
  const SequenceCounts& s = t.sequences;
  const double seconds = static_cast<double>(t.last_ns - t.first_ns) / 1e9;
  const double rate = seconds > 0 ? static_cast<double>(s.unique) / seconds : 0;
  printf(
      "{\"received\":%lu,\"unique\":%lu,\"duplicates\":%lu,\"reordered\":%lu,"
      "\"reorder_distance_max\":%lu,\"too_old\":%lu,\"corrupt\":%lu,\"foreign\":%lu,\"bytes\":%lu,"
      "\"socket_drops\":%lu,\"seconds\":%.6f,\"rate\":%.1f,\"gap_max_us\":%.1f,"
      "\"outage_max_us\":%.1f,",
      t.received, s.unique, s.duplicates, s.reordered, s.reorder_distance_max, s.too_old, t.corrupt,
      t.foreign, t.bytes, t.socket_drops, seconds, rate, static_cast<double>(t.gap_max_ns) / 1e3,
      static_cast<double>(t.outage_max_ns) / 1e3);
  const auto us = [&t](double share) {
    return static_cast<double>(t.latency.Quantile(share)) / 1e3;
  };
  printf("\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}}\n", us(0.5),
         us(0.99), us(0.999), static_cast<double>(t.latency.max()) / 1e3);
}

}  // namespace

int UdpSink(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  const std::string host = arguments.Text("bind", "0.0.0.0");
  const SocketAddress address = ParseAddress(host, arguments.Number("port", "7777", 1, 65535));
  Patience patience;
  patience.packets = arguments.Number("packets", "0", 0, 1'000'000'000);
  patience.quiet_ms = arguments.Number("quiet-milliseconds", "50", 1, 60'000);
  patience.missing_quiet_ms = arguments.Number("missing-quiet-milliseconds", "1000", 1, 60'000);
  const uint64_t limit_ms = arguments.Number("limit-milliseconds", "3600000", 1, 86'400'000);
  arguments.Finish();
  const auto end = [](int) { g_ending = 1; };
  signal(SIGTERM, end);
  signal(SIGINT, end);

  auto sink = std::make_unique<Sink>(address);
  printf("ready\n");
  fflush(stdout);
  sink->Run(patience, limit_ms);
  Print(sink->totals());
  return 0;
}

}  // namespace tools
