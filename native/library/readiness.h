// Tells, once per request, that a descriptor has become readable: a thread that does nothing but
// wait, so that a program in an event loop need not poll its ports. Owner: whoever holds the port.
// Thread: all methods on the owner's; `on_ready` is called on the waiting thread, once for each
// Arm.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace library {

class Readiness {
 public:
  static base::Result<std::unique_ptr<Readiness>> Watch(int fd, std::function<void()> on_ready);
  ~Readiness();  // Returns when the thread has ended: `on_ready` is not called after it.
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  void Arm();

 private:
  Readiness(int fd, base::UniqueFd control, std::function<void()> on_ready);
  void Loop();
  void Wake();

  int fd_;
  base::UniqueFd control_;  // eventfd: the request or the end has changed.
  std::function<void()> on_ready_;
  std::atomic<bool> armed_{false};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace library
