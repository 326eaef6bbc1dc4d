#include "library/readiness.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace library {

base::Result<std::unique_ptr<Readiness>> Readiness::Watch(int fd, std::function<void()> on_ready) {
  base::UniqueFd control(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!control.valid())
    return base::SystemError("PORT_WAIT_FAILED", "eventfd",
                             "raise the limit of open files (ulimit -n)");
  return std::unique_ptr<Readiness>(new Readiness(fd, std::move(control), std::move(on_ready)));
}

Readiness::Readiness(int fd, base::UniqueFd control, std::function<void()> on_ready)
    : fd_(fd), control_(std::move(control)), on_ready_(std::move(on_ready)) {
  thread_ = std::thread([this] { Loop(); });
}

Readiness::~Readiness() {
  ending_.store(true, std::memory_order_release);
  Wake();
  thread_.join();
}

void Readiness::Arm() {
  armed_.store(true, std::memory_order_release);
  Wake();
}

void Readiness::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(control_.get(), &one, sizeof one);
}

void Readiness::Loop() {
  pthread_setname_np(pthread_self(), "ripstop-wait");
  while (!ending_.load(std::memory_order_acquire)) {
    const bool armed = armed_.load(std::memory_order_acquire);
    pollfd fds[] = {{control_.get(), POLLIN, 0}, {fd_, POLLIN, 0}};
    if (poll(fds, armed ? 2 : 1, -1) <= 0) continue;
    if (fds[0].revents != 0) {
      uint64_t events;
      [[maybe_unused]] const ssize_t n = read(control_.get(), &events, sizeof events);
    }
    // An error on the descriptor counts as readable: the next Receive shows what it is.
    if (armed && fds[1].revents != 0 && armed_.exchange(false)) on_ready_();
  }
}

}  // namespace library
