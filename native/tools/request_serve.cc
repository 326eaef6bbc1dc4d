// Answers requests with the bytes that came: datagrams, and whatever TCP connections send. One
// thread, ends on SIGTERM. An answer goes out in the call after its request came in: nothing is
// collected, because this is what latency is measured with.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <vector>

#include "base/unique_fd.h"
#include "tools/request_load.h"
#include "tools/socket_address.h"

namespace tools {
namespace {

constexpr size_t kConnectionsMax = 256;

base::UniqueFd Open(const SocketAddress& address, int type) {
  base::UniqueFd fd(socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!fd.valid() || bind(fd.get(), address.get(), address.length) != 0 ||
      (type == SOCK_STREAM && listen(fd.get(), 128) != 0)) {
    Fail(std::string("cannot serve: ") + strerror(errno));
  }
  return fd;
}

class Server {
 public:
  explicit Server(const SocketAddress& address)
      : listener_(Open(address, SOCK_STREAM)), datagrams_(Open(address, SOCK_DGRAM)) {}

  void Run() {
    for (;;) {
      waits_.clear();
      waits_.push_back({listener_.get(), POLLIN, 0});
      waits_.push_back({datagrams_.get(), POLLIN, 0});
      for (const base::UniqueFd& one : connections_) waits_.push_back({one.get(), POLLIN, 0});
      if (poll(waits_.data(), waits_.size(), -1) <= 0) continue;
      if (waits_[1].revents != 0) AnswerDatagrams();
      // From the back, because closed connections are taken out.
      for (size_t i = waits_.size(); i-- > 2;) {
        if (waits_[i].revents != 0 && !Answer(connections_[i - 2].get()))
          connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(i) - 2);
      }
      if (waits_[0].revents != 0) Accept();
    }
  }

 private:
  void AnswerDatagrams() {
    for (;;) {
      sockaddr_storage from;
      socklen_t length = sizeof from;
      const ssize_t n = recvfrom(datagrams_.get(), buffer_, sizeof buffer_, 0,
                                 reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return;
      sendto(datagrams_.get(), buffer_, static_cast<size_t>(n), 0,
             reinterpret_cast<sockaddr*>(&from), length);
    }
  }

  bool Answer(int fd) {
    const ssize_t n = recv(fd, buffer_, sizeof buffer_, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    return n > 0 && send(fd, buffer_, static_cast<size_t>(n), MSG_NOSIGNAL) == n;
  }

  void Accept() {
    for (;;) {
      base::UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.valid() || connections_.size() == kConnectionsMax) return;
      const int on = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_.push_back(std::move(fd));
    }
  }

  base::UniqueFd listener_;
  base::UniqueFd datagrams_;
  std::vector<base::UniqueFd> connections_;
  std::vector<pollfd> waits_;
  uint8_t buffer_[kRequestBytesMax];
};

}  // namespace

int RequestServe(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  const std::string host = arguments.Text("bind", "0.0.0.0");
  const SocketAddress address = ParseAddress(host, arguments.Number("port", "7779", 1, 65535));
  arguments.Finish();
  static Server server(address);
  printf("ready\n");
  fflush(stdout);
  server.Run();
  return 0;
}

}  // namespace tools
