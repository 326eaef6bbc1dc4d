// Asks, waits for the whole answer, asks again, until the time is over. One request is under way at
// any moment. The first fifth of the time warms up and is not counted.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdio>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tools/histogram.h"
#include "tools/request_load.h"
#include "tools/socket_address.h"

namespace tools {
namespace {

enum class Protocol { kTcp, kUdp, kConnect };

struct Question {
  SocketAddress to;
  Protocol protocol;
  uint32_t size;
  uint64_t duration_ns;
};

constexpr timeval kPatience = {0, 200'000};

base::UniqueFd Connect(const Question& question) {
  const int type = question.protocol == Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  base::UniqueFd fd(socket(question.to.family(), type | SOCK_CLOEXEC, 0));
  if (!fd.valid() || connect(fd.get(), question.to.get(), question.to.length) != 0)
    return base::UniqueFd();
  const int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (type == SOCK_DGRAM)
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  return fd;
}

// A reset instead of the orderly close: tens of thousands of connections in TIME_WAIT would use up
// the ports.
void Abandon(int fd) {
  const linger at_once = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

class Asker {
 public:
  explicit Asker(const Question& question) : question_(question) {
    if (question.protocol == Protocol::kConnect) return;
    fd_ = Connect(question);
    if (!fd_.valid()) Fail(std::string("cannot connect: ") + strerror(errno));
  }

  // False: the answer did not come (UDP), or the connection failed.
  bool Once() {
    if (question_.protocol != Protocol::kConnect) return Exchange(fd_.get());
    base::UniqueFd fd = Connect(question_);
    if (!fd.valid()) return false;
    const bool answered = Exchange(fd.get());
    Abandon(fd.get());
    return answered;
  }

 private:
  bool Exchange(int fd) {
    // Numbered, so that a late answer to an earlier datagram is not taken for this one.
    number_++;
    memcpy(buffer_, &number_, sizeof number_);
    if (send(fd, buffer_, question_.size, MSG_NOSIGNAL) != static_cast<ssize_t>(question_.size))
      return false;
    uint32_t received = 0;
    while (received < question_.size) {
      const ssize_t n = recv(fd, answer_ + received, sizeof answer_ - received, 0);
      if (n <= 0) return false;
      if (question_.protocol == Protocol::kUdp && memcmp(answer_, buffer_, sizeof number_) != 0)
        continue;
      received += static_cast<uint32_t>(n);
    }
    return true;
  }

  const Question& question_;
  base::UniqueFd fd_;
  uint64_t number_ = 0;
  uint8_t buffer_[kRequestBytesMax] = {};
  uint8_t answer_[kRequestBytesMax];
};

void Print(const Histogram& times, uint64_t answered, uint64_t failed, double seconds) {
  const auto us = [&times](double share) {
    return static_cast<double>(times.Quantile(share)) / 1e3;
  };
  printf("{\"answered\":%lu,\"failed\":%lu,\"seconds\":%.6f,\"rate\":%.1f,", answered, failed,
         seconds, static_cast<double>(answered) / seconds);
  printf("\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f,\"quantiles\":[",
         us(0.5), us(0.9), us(0.99), us(0.999), static_cast<double>(times.max()) / 1e3);
  const double shares[] = {0.01, 0.05, 0.1,  0.2,   0.3,  0.4,   0.5,    0.6,   0.7,
                           0.8,  0.9,  0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995};
  const char* comma = "";
  for (const double share : shares) {
    printf("%s[%g,%.2f]", comma, share, us(share));
    comma = ",";
  }
  printf("]}\n");
}

}  // namespace

int RequestAsk(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  static Question question;
  const std::string host = arguments.Text("to", nullptr);
  question.to = ParseAddress(host, arguments.Number("port", "7779", 1, 65535));
  const std::string protocol = arguments.Text("protocol", "tcp");
  if (protocol != "tcp" && protocol != "udp" && protocol != "connect")
    Fail("--protocol is tcp, udp or connect, not '" + protocol + "'");
  question.protocol = protocol == "tcp"   ? Protocol::kTcp
                      : protocol == "udp" ? Protocol::kUdp
                                          : Protocol::kConnect;
  question.size = static_cast<uint32_t>(arguments.Number("size", "64", 8, kRequestBytesMax));
  question.duration_ns = arguments.Number("milliseconds", "1000", 10, 3'600'000) * 1'000'000ULL;
  arguments.Finish();

  static Histogram times;
  static Asker asker(question);
  uint64_t answered = 0;
  uint64_t failed = 0;
  const uint64_t start = base::MonotonicNs();
  const uint64_t counted_from = start + question.duration_ns / 5;
  uint64_t now = start;
  while (now - start < question.duration_ns) {
    const bool good = asker.Once();
    const uint64_t then = now;
    now = base::MonotonicNs();
    if (then < counted_from) continue;
    good ? answered++ : failed++;
    if (good) times.Add(now - then);
  }
  Print(times, answered, failed, static_cast<double>(now - counted_from) / 1e9);
  return 0;
}

}  // namespace tools
