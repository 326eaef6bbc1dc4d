// classic_proxy: an overlay proxy as they used to be, for comparison only: one TUN device, one UDP
// socket, one packet a system call, no offloads, IPv4 only. Wire format: the bare inner packet, as
// flannel's `udp` backend sends it. One thread; ends on SIGTERM. Must never be used as a product.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sstream>
#include <vector>

#include "base/endian.h"
#include "base/unique_fd.h"
#include "tools/arguments.h"
#include "tools/socket_address.h"

namespace tools {
namespace {

constexpr uint32_t kPacketMax = 65536;
constexpr uint32_t kIpv4Bytes = 20;

volatile sig_atomic_t g_ending = 0;

struct Route {
  uint32_t network;
  uint32_t mask;
  sockaddr_in next_hop;
};

uint32_t ParseIpv4(const std::string& text) {
  in_addr address;
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) Fail("'" + text + "' is no IPv4 address");
  return ntohl(address.s_addr);
}

// "10.244.2.0/24=192.168.77.2,..."
std::vector<Route> ParseRoutes(const std::string& text, uint16_t port) {
  std::vector<Route> routes;
  std::istringstream list(text);
  for (std::string one; std::getline(list, one, ',');) {
    const size_t slash = one.find('/');
    const size_t equals = one.find('=');
    if (slash == std::string::npos || equals == std::string::npos || equals < slash)
      Fail("--routes wants SUBNET/LENGTH=ADDRESS, not '" + one + "'");
    const int length = atoi(one.substr(slash + 1, equals - slash - 1).c_str());
    if (length < 1 || length > 32) Fail("a prefix length is from 1 to 32, in '" + one + "'");
    Route route{};
    route.mask = ~uint32_t{0} << (32 - length);
    route.network = ParseIpv4(one.substr(0, slash)) & route.mask;
    route.next_hop.sin_family = AF_INET;
    route.next_hop.sin_port = htons(port);
    route.next_hop.sin_addr.s_addr = htonl(ParseIpv4(one.substr(equals + 1)));
    routes.push_back(route);
  }
  return routes;
}

base::UniqueFd OpenTun(const std::string& name) {
  base::UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (!fd.valid() || ioctl(fd.get(), TUNSETIFF, &request) != 0)
    Fail("cannot make the TUN device " + name + ": " + strerror(errno));
  return fd;
}

class Proxy {
 public:
  Proxy(base::UniqueFd tun, base::UniqueFd socket, std::vector<Route> routes)
      : tun_(std::move(tun)), socket_(std::move(socket)), routes_(std::move(routes)) {}

  void Run() {
    while (g_ending == 0) {
      pollfd wait[] = {{tun_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
      if (poll(wait, 2, -1) <= 0) continue;
      // While either side has something to read, poll is not asked.
      for (bool active = true; active && g_ending == 0;) {
        const bool out = Encapsulate();
        const bool in = Decapsulate();
        active = out || in;
      }
    }
  }

 private:
  bool Encapsulate() {
    const ssize_t n = read(tun_.get(), buffer_, sizeof buffer_);
    if (n <= 0) return false;
    const Route* route = Find(buffer_, static_cast<uint32_t>(n));
    if (route == nullptr || !DecrementTtl(buffer_)) return true;
    while (sendto(socket_.get(), buffer_, static_cast<size_t>(n), 0,
                  reinterpret_cast<const sockaddr*>(&route->next_hop),
                  sizeof route->next_hop) < 0 &&
           errno == EAGAIN) {
      pollfd wait = {socket_.get(), POLLOUT, 0};
      poll(&wait, 1, 100);
    }
    return true;
  }

  bool Decapsulate() {
    const ssize_t n = recv(socket_.get(), buffer_, sizeof buffer_, 0);
    if (n <= 0) return false;
    if (static_cast<uint32_t>(n) < kIpv4Bytes || !DecrementTtl(buffer_)) return true;
    while (write(tun_.get(), buffer_, static_cast<size_t>(n)) < 0 && errno == EAGAIN) {
      pollfd wait = {tun_.get(), POLLOUT, 0};
      poll(&wait, 1, 100);
    }
    return true;
  }

  // A list that is searched from the front; what was found moves there.
  const Route* Find(const uint8_t* packet, uint32_t bytes) {
    if (bytes < kIpv4Bytes || packet[0] >> 4 != 4) return nullptr;
    const uint32_t to = base::LoadBe32(packet + 16);
    for (size_t i = 0; i < routes_.size(); i++) {
      if ((to & routes_[i].mask) != routes_[i].network) continue;
      std::swap(routes_[i], routes_[0]);
      return &routes_[0];
    }
    return nullptr;
  }

  static bool DecrementTtl(uint8_t* packet) {
    if (packet[8] <= 1) return false;
    packet[8]--;
    uint32_t sum = uint32_t{base::LoadBe16(packet + 10)} + 0x100;
    sum += sum >> 16;
    base::StoreBe16(packet + 10, static_cast<uint16_t>(sum));
    return true;
  }

  base::UniqueFd tun_;
  base::UniqueFd socket_;
  std::vector<Route> routes_;
  uint8_t buffer_[kPacketMax];
};

}  // namespace
}  // namespace tools

int main(int argc, char** argv) {
  using tools::Fail;
  tools::Arguments arguments(argc, argv, 1);
  const std::string name = arguments.Text("tun", nullptr);
  const uint64_t port = arguments.Number("port", "8285", 1, 65535);
  const tools::SocketAddress local = tools::ParseAddress(arguments.Text("local", nullptr), port);
  auto routes = tools::ParseRoutes(arguments.Text("routes", nullptr), static_cast<uint16_t>(port));
  arguments.Finish();
  // Without SA_RESTART, so that poll returns.
  struct sigaction action = {};
  action.sa_handler = [](int) { tools::g_ending = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  base::UniqueFd tun = tools::OpenTun(name);
  base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() || bind(socket.get(), local.get(), local.length) != 0)
    Fail(std::string("cannot bind the socket: ") + strerror(errno));
  static tools::Proxy proxy(std::move(tun), std::move(socket), std::move(routes));
  printf("ready\n");
  fflush(stdout);
  proxy.Run();
  return 0;
}
