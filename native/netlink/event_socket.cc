#include "netlink/event_socket.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "netlink/socket.h"

namespace netlink {

base::Result<std::unique_ptr<EventSocket>> EventSocket::Open(const std::string& namespace_path,
                                                             std::span<const uint32_t> groups,
                                                             std::function<void()> wake) {
  auto fd = OpenSocket(namespace_path, false);
  if (!fd.ok()) return fd.error();
  for (const uint32_t group : groups) {
    if (::setsockopt(fd->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return base::SystemError("NETLINK_SUBSCRIBE_FAILED", "setsockopt(NETLINK_ADD_MEMBERSHIP)",
                               "group " + std::to_string(group));
    }
  }
  base::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid())
    return base::SystemError("NETLINK_SUBSCRIBE_FAILED", "eventfd",
                             "raise the limit of open files");
  return std::unique_ptr<EventSocket>(
      new EventSocket(std::move(fd).value(), std::move(stop), std::move(wake)));
}

EventSocket::EventSocket(base::UniqueFd netlink, base::UniqueFd stop, std::function<void()> wake)
    : netlink_(std::move(netlink)),
      stop_(std::move(stop)),
      wake_(std::move(wake)),
      thread_([this] { Run(); }) {}

EventSocket::~EventSocket() {
  const uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

Gathered EventSocket::Take() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  return std::exchange(gathered_, Gathered{});
}

void EventSocket::Run() {
  pollfd watched[2] = {{netlink_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return Publish({}, false, errno);
    if (watched[1].revents != 0) return;
    if (watched[0].revents != 0 && !Drain()) return;
  }
}

bool EventSocket::Drain() {
  std::vector<Notice> notices;
  while (notices.size() < kNoticesMax) {
    const ssize_t size = ReceiveDatagram(netlink_.get(), datagram_);
    if (size < 0 && errno == ENOBUFS) {
      congested_ = true;
      continue;
    }
    if (size < 0) {
      const int os_error = errno;
      const bool empty = os_error == EAGAIN || os_error == EWOULDBLOCK;
      Publish(std::move(notices), std::exchange(congested_, false), empty ? 0 : os_error);
      return empty;
    }
    std::span<const uint8_t> rest(datagram_.data(), static_cast<size_t>(size));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, rest.data(), sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size()) break;
      if (auto notice = Decode(header.nlmsg_type,
                               rest.subspan(sizeof header, header.nlmsg_len - sizeof header))) {
        notices.push_back(std::move(*notice));
      }
      rest =
          rest.subspan(std::min(rest.size(), static_cast<size_t>(NLMSG_ALIGN(header.nlmsg_len))));
    }
  }
  Publish(std::move(notices), congested_, 0);
  return true;
}

void EventSocket::Publish(std::vector<Notice>&& notices, bool overrun, int os_error) {
  if (notices.empty() && !overrun && os_error == 0) return;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    gathered_.overrun |= overrun;
    gathered_.os_error = os_error;
    if (gathered_.notices.size() + notices.size() > kNoticesMax) {
      gathered_.notices.clear();
      gathered_.overrun = true;
    } else {
      for (Notice& notice : notices) gathered_.notices.push_back(std::move(notice));
    }
    wake = !std::exchange(woken_, true);
  }
  if (wake) wake_();
}

}  // namespace netlink
