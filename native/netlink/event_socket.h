// The stream of rtnetlink notifications, on a socket and a thread of its own. The thread parses,
// collects, and wakes the consumer once; the consumer takes everything that has gathered. Bounded:
// past kNoticesMax it drops what it holds and says "overrun", as it does when the kernel says
// ENOBUFS. After an overrun the consumer must compare everything.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/objects.h"

namespace netlink {

inline constexpr size_t kNoticesMax = 16384;

struct Gathered {
  std::vector<Notice> notices;
  bool overrun = false;
  int os_error = 0;  // Non-zero: the socket failed and the stream has ended.
};

class EventSocket {
 public:
  // `wake` runs on the event thread, once per time that something waits to be taken.
  static base::Result<std::unique_ptr<EventSocket>> Open(const std::string& namespace_path,
                                                         std::span<const uint32_t> groups,
                                                         std::function<void()> wake);
  // Stops and joins the thread. After it `wake` is not called any more.
  ~EventSocket();

  Gathered Take();

  EventSocket(const EventSocket&) = delete;
  EventSocket& operator=(const EventSocket&) = delete;

 private:
  EventSocket(base::UniqueFd netlink, base::UniqueFd stop, std::function<void()> wake);
  void Run();
  // False when the stream has ended.
  bool Drain();
  void Publish(std::vector<Notice>&& notices, bool overrun, int os_error);

  base::UniqueFd netlink_;
  base::UniqueFd stop_;  // eventfd.
  std::function<void()> wake_;
  std::vector<uint8_t> datagram_;
  // The kernel drops more, and says so only once, until everything it holds has been read.
  bool congested_ = false;
  std::mutex mutex_;
  Gathered gathered_;   // Under mutex_.
  bool woken_ = false;  // Under mutex_: the consumer has been told and has not taken yet.
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace netlink
