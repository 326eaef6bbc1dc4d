// Two network namespaces for the matrix of ports: `here`, where a worker of ours stands between a
// kernel stack and a cable, and `there`, a kernel VXLAN peer at the cable's other end. Real TCP and
// UDP go from stack to stack. Every name carries the process id; all is removed with the object.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "net_sandbox.h"
#include "port/port.h"

namespace port_bench {

inline constexpr const char* kHereMac = "06:00:00:00:00:01";
inline constexpr const char* kHerePod = "10.244.1.5";
inline constexpr const char* kTherePod = "10.244.2.5";

class Bench {
 public:
  explicit Bench(int underlay_family = 4)
      : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)), v6_(underlay_family == 6) {
    const std::string id = std::to_string(getpid()), at_there = AddressThere();
    here_ = "rst-pm" + id + "a";
    there_ = "rst-pm" + id + "b";
    ready_ =
        Shell("ip netns add " + here_) && Shell("ip netns add " + there_) &&
        Shell("ip -n " + here_ +
              " link add ua numrxqueues 1 numtxqueues 1 type veth peer name ub numrxqueues 1 "
              "numtxqueues 1 netns " +
              there_) &&
        Here("link set lo up") && There("link set lo up") && Quiet(here_) && Quiet(there_) &&
        There("link set ub address 06:00:00:00:00:02 up") && AddAddress(there_, "ub", at_there) &&
        There("neighbor add " + AddressHere() + " lladdr " + kHereMac + " dev ub nud permanent") &&
        There("link add vx1 address 02:00:00:00:00:02 type vxlan id 1 local " + at_there +
              " dev ub dstport 8472 nolearning") &&
        There("link set vx1 mtu " + Mtu() + " up") && There("address add 10.244.2.5/24 dev vx1") &&
        There("neighbor add 10.244.1.5 lladdr 02:00:00:00:00:01 dev vx1 nud permanent") &&
        There("route add 10.244.1.0/24 dev vx1") &&
        Shell("bridge -n " + there_ + " fdb add 02:00:00:00:00:01 dev vx1 dst " + AddressHere() +
              " self permanent") &&
        Enter(here_);
  }
  ~Bench() {
    if (home_.valid()) (void)setns(home_.get(), CLONE_NEWNET);
    (void)Shell("ip netns del " + here_);
    (void)Shell("ip netns del " + there_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  bool ready() const { return ready_; }
  // Addresses as test tables have them, and what fits between the stacks.
  std::string AddressHere() const { return v6_ ? "2001:1::1" : "192.0.2.2"; }
  std::string AddressThere() const { return v6_ ? "2001:2::1" : "192.0.2.3"; }
  std::string Mtu() const { return v6_ ? "1430" : "1450"; }
  // For a port whose outer headers are the kernel's.
  bool AddAddressHere() const {
    return AddAddress(here_, "ua", AddressHere()) &&
           Here("neighbor add " + AddressThere() +
                " lladdr 06:00:00:00:00:02 dev ua nud permanent");
  }

  static bool Shell(const std::string& command) { return std::system(command.c_str()) == 0; }
  bool Here(const std::string& ip) const { return Shell("ip -n " + here_ + " " + ip); }
  bool There(const std::string& ip) const { return Shell("ip -n " + there_ + " " + ip); }
  bool FinishFramesThere() const {
    return Shell("ip netns exec " + there_ + " ethtool -K ub tx off > /dev/null");
  }
  // The kernel stack that plays the pod of this side, on a device whose frames the worker gets.
  bool AddPod(const std::string& device) const {
    return Here("link set " + device + " address 02:00:00:00:00:01 up") && AddBarePod(device) &&
           Here("neighbor add 10.244.2.5 lladdr 02:00:00:00:00:02 dev " + device +
                " nud permanent");
  }
  // The same on a device without Ethernet.
  bool AddBarePod(const std::string& device) const {
    return Here("link set " + device + " mtu " + Mtu() + " up") &&
           Here(std::string("address add ") + kHerePod + "/24 dev " + device) &&
           Here("route add 10.244.2.0/24 dev " + device);
  }
  // Runs in a thread that lives in that namespace.
  template <typename Result>
  std::future<Result> In(bool here, std::function<Result()> body) const {
    return std::async(std::launch::async, [name = here ? here_ : there_, body = std::move(body)] {
      EXPECT_TRUE(Enter(name));
      return body();
    });
  }

 private:
  static bool Enter(const std::string& name) {
    base::UniqueFd fd(open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    return fd.valid() && setns(fd.get(), CLONE_NEWNET) == 0;
  }
  static bool Quiet(const std::string& name) {
    return Shell(
        "ip netns exec " + name +
        " sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
  }
  bool AddAddress(const std::string& name, const std::string& device,
                  const std::string& address) const {
    const std::string ipv6 = " net.ipv6.conf." + device;
    if (!v6_) return Shell("ip -n " + name + " address add " + address + "/24 dev " + device);
    return Shell("ip netns exec " + name + " sysctl -qw" + ipv6 + ".disable_ipv6=0" + ipv6 +
                 ".accept_dad=0") &&
           Shell("ip -n " + name + " address add " + address + "/16 dev " + device + " nodad") &&
           // The kernel makes it usable a moment later.
           Shell("timeout 30 sh -c 'until ip -n " + name + " -6 route show table local | grep -q " +
                 address + "; do :; done'");
  }
  base::UniqueFd home_;
  const bool v6_;
  std::string here_, there_;
  bool ready_ = false;
};

inline sockaddr_in At(const char* address, uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  inet_pton(AF_INET, address, &at.sin_addr);
  return at;
}

inline base::UniqueFd Bound(int type, const char* address, uint16_t port) {
  base::UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int on = 1, bytes = 4 << 20;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (type == SOCK_DGRAM)
    (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  const timeval patience{30, 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_in at = At(address, port);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  return fd;
}

inline uint8_t ByteAt(uint64_t offset) { return static_cast<uint8_t>(offset * 2654435761u >> 13); }

// Bytes that arrived right before the stream ended, of `bytes` sent.
inline uint64_t TcpBulk(const Bench& bench, bool from_here, uint64_t bytes) {
  const char *from = from_here ? kHerePod : kTherePod, *to = from_here ? kTherePod : kHerePod;
  std::promise<void> listening;
  auto ready = listening.get_future();
  auto right = bench.In<uint64_t>(!from_here, [&] {
    base::UniqueFd listener = Bound(SOCK_STREAM, to, 7000);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    listening.set_value();
    base::UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval patience{30, 0};
    (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::vector<uint8_t> buffer(256 * 1024);
    uint64_t at = 0;
    for (ssize_t n; (n = recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      for (ssize_t i = 0; i < n; ++i, ++at) {
        if (buffer[static_cast<size_t>(i)] != ByteAt(at)) return at;
      }
    }
    return at;
  });
  ready.wait();
  auto sent = bench.In<bool>(from_here, [&] {
    base::UniqueFd fd = Bound(SOCK_STREAM, from, 0);
    const sockaddr_in at = At(to, 7000);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return false;
    std::vector<uint8_t> buffer(64 * 1024);
    for (uint64_t done = 0; done < bytes;) {
      const size_t want = std::min<uint64_t>(buffer.size(), bytes - done);
      for (size_t i = 0; i < want; ++i) buffer[i] = ByteAt(done + i);
      const ssize_t n = send(fd.get(), buffer.data(), want, MSG_NOSIGNAL);
      if (n <= 0) return false;
      done += static_cast<uint64_t>(n);
    }
    return true;
  });
  EXPECT_TRUE(sent.get()) << "the sender got stuck";
  return right.get();
}

inline std::vector<uint8_t> Numbered(uint32_t number) {
  std::vector<uint8_t> payload(64);
  std::memcpy(payload.data(), &number, sizeof number);
  payload.back() = ByteAt(number);
  return payload;
}

// Counts numbered datagrams until one is missing or wrong; returns when the socket listens.
inline std::future<uint32_t> ReceiveUdp(const Bench& bench, bool here, uint32_t packets,
                                        std::atomic<uint32_t>& arrived) {
  std::promise<void> listening;
  auto ready = listening.get_future();
  auto right = bench.In<uint32_t>(here, [=, &arrived, &listening] {
    base::UniqueFd fd = Bound(SOCK_DGRAM, here ? kHerePod : kTherePod, 7001);
    listening.set_value();
    uint32_t next = 0;
    for (std::vector<uint8_t> buffer(2048); next < packets; ++next, buffer.resize(2048)) {
      const ssize_t n = recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (n < 0) return next;
      buffer.resize(static_cast<size_t>(n));
      if (buffer != Numbered(next)) return next;
      arrived.store(next + 1, std::memory_order_release);
    }
    return next;
  });
  ready.wait();
  return right;
}

// Datagrams that arrived, in order and right, of `packets` numbered ones. The sender waits after
// each few for the receiver, so that no queue on the way may overflow.
inline uint32_t SmallUdp(const Bench& bench, bool from_here, uint32_t packets) {
  constexpr uint32_t kWindow = 64;
  const char* from = from_here ? kHerePod : kTherePod;
  std::atomic<uint32_t> arrived{0};
  auto right = ReceiveUdp(bench, !from_here, packets, arrived);
  auto sent = bench.In<bool>(from_here, [&] {
    base::UniqueFd fd = Bound(SOCK_DGRAM, from, 0);
    const sockaddr_in at = At(from_here ? kTherePod : kHerePod, 7001);
    for (uint32_t number = 0; number < packets; ++number) {
      const auto payload = Numbered(number);
      if (sendto(fd.get(), payload.data(), payload.size(), 0,
                 reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0)
        return false;
      while (number - arrived.load(std::memory_order_acquire) > kWindow &&
             number > arrived.load() &&
             right.wait_for(std::chrono::microseconds(50)) != std::future_status::ready) {
      }
    }
    return true;
  });
  EXPECT_TRUE(sent.get());
  return right.get();
}

// Carries everything between two ports, both ways: what stands behind a memory port.
class Pump {
 public:
  Pump(port::Port& a, port::Port& b) : a_(a), b_(b), thread_([this] { Run(); }) {}
  ~Pump() {
    stop_.store(true);
    thread_.join();
  }

 private:
  static bool Move(port::Port& from, port::Port& to, pkt::LaneCounters& counters) {
    pkt::Batch batch;
    const uint32_t moved = from.Receive(batch, counters);
    if (moved == 0) return false;
    to.Transmit(batch, counters);
    to.Flush();
    return true;
  }
  void Run() {
    while (!stop_.load()) {
      const bool there = Move(a_, b_, counters_), back = Move(b_, a_, counters_);
      a_.Flush();
      b_.Flush();
      if (there || back) continue;
      pollfd fds[] = {{a_.wait_fd(), POLLIN, 0}, {b_.wait_fd(), POLLIN, 0}};
      poll(fds, 2, 10);
    }
  }
  port::Port& a_;
  port::Port& b_;
  pkt::LaneCounters counters_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace port_bench
