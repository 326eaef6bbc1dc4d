#include "engine/rest.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>

namespace engine {

namespace {

constexpr int kSleepMs =
    10;  // A third of the 30 ms after which the BPF programs call a worker dead.
constexpr int kNapMs = 1;
// A round with so many frames has hardly emptied the ports.
constexpr uint32_t kManyFrames = 32;
// Trickling: small frames, several packets a cycle, close to each other, and not just once.
constexpr uint64_t kSmallBytes = 2048;
constexpr uint64_t kPacketsMin = 2;
constexpr uint64_t kIntervalMaxNs = 40'000;
constexpr uint32_t kCyclesMin = 4;
// A pause is for this many packets, within limits that a round trip can bear.
constexpr uint64_t kPacketsWanted = 16;
constexpr uint64_t kPauseMinNs = 30'000;
constexpr uint64_t kPauseMaxNs = 150'000;

}  // namespace

void Rest::Begin() {
  // The kernel would stretch our pauses by 50 us otherwise.
  prctl(PR_SET_TIMERSLACK, 1UL);
}

bool Rest::GoOn(const Round& round, uint64_t now_ns) {
  cycle_frames_ += round.frames;
  seen_ = round;
  if (round.frames != 0) {
    idle_since_ns_ = 0;
    return round.frames >= kManyFrames || busy_poll_ns_ != 0;
  }
  if (busy_poll_ns_ == 0) return false;
  if (idle_since_ns_ == 0) idle_since_ns_ = now_ns;
  return now_ns - idle_since_ns_ < busy_poll_ns_;
}

bool Rest::Trickles(uint64_t now_ns) {
  const uint64_t packets = seen_.packets - cycle_start_.packets;
  const uint64_t bytes = seen_.bytes - cycle_start_.bytes;
  const uint64_t interval_ns = packets == 0 ? 0 : (now_ns - cycle_began_ns_) / packets;
  const bool trickles =
      packets >= kPacketsMin && interval_ns < kIntervalMaxNs && bytes < kSmallBytes * cycle_frames_;
  trickling_ = trickles ? std::min(trickling_ + 1, kCyclesMin) : 0;
  pause_ns_ = std::clamp(kPacketsWanted * interval_ns, kPauseMinNs, kPauseMaxNs);
  cycle_began_ns_ = now_ns;
  cycle_frames_ = 0;
  cycle_start_ = seen_;
  return trickling_ == kCyclesMin;
}

Look Rest::Sleep(uint64_t now_ns) {
  if (Trickles(now_ns) && busy_poll_ns_ == 0) {
    const timespec pause = {0, static_cast<long>(pause_ns_)};
    nanosleep(&pause, nullptr);
    return {};
  }
  pollfd fds[] = {{overlay_fd_, POLLIN, 0}, {underlay_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
  const int ready = poll(fds, 3, kSleepMs);
  constexpr short kBroken = POLLERR | POLLHUP | POLLNVAL;
  if (((fds[0].revents | fds[1].revents) & kBroken) != 0) {
    Nap();
  } else {
    futile_ = 0;
  }
  return ready <= 0 ? Look{} : Look{fds[0].revents != 0, fds[1].revents != 0};
}

// An error that a read takes away is over by the next round. One that stays is a device that
// somebody removed: without this, poll would return at once for ever.
void Rest::Nap() {
  ++futile_;
  pollfd wake{wake_fd_, POLLIN, 0};
  poll(&wake, 1, kNapMs);
}

}  // namespace engine
