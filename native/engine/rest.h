// How a worker rests between rounds: not at all while there is certainly more to do, until a packet
// comes when traffic is thin, and for a short fixed time when many small packets come in trickles,
// because being woken for each costs more than carrying it (what a NIC does with its interrupts).
// Owner: a worker; its thread only.
#pragma once

#include <cstdint>

namespace engine {

// What a worker did in one round.
struct Round {
  uint32_t frames = 0;   // Received, both lanes.
  uint64_t packets = 0;  // Received so far, both lanes, segments counted; grows.
  uint64_t bytes = 0;    // The same.
};

// Which sides are worth a look after resting.
struct Look {
  bool overlay = true;
  bool underlay = true;
};

class Rest {
 public:
  Rest(int overlay_fd, int underlay_fd, int wake_fd, uint32_t busy_poll_us)
      : overlay_fd_(overlay_fd),
        underlay_fd_(underlay_fd),
        wake_fd_(wake_fd),
        busy_poll_ns_(uint64_t{busy_poll_us} * 1000) {}

  // First call on the worker's thread.
  void Begin();
  // True: go on at once.
  bool GoOn(const Round& round, uint64_t now_ns);
  // Returns when there may be work, at the latest after 10 ms.
  Look Sleep(uint64_t now_ns);
  // A port is in error, again and again: its device is gone for good.
  bool hopeless() const { return futile_ >= kFutileMax; }

 private:
  // A port that is in error for so many naps in a row does not recover.
  static constexpr uint32_t kFutileMax = 20;
  void Nap();
  bool Trickles(uint64_t now_ns);

  const int overlay_fd_;
  const int underlay_fd_;
  const int wake_fd_;
  const uint64_t busy_poll_ns_;
  uint64_t idle_since_ns_ = 0;
  // Since the last sleep began.
  uint64_t cycle_began_ns_ = 0;
  uint64_t cycle_frames_ = 0;
  Round cycle_start_;
  Round seen_;
  uint32_t trickling_ = 0;  // Cycles in a row.
  uint64_t pause_ns_ = 0;
  uint32_t futile_ = 0;  // Sleeps in a row that a port in error has cut short.
};

}  // namespace engine
