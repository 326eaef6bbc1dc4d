// Where a worker looks whether somebody captures. Off costs one pointer that is null: the worker
// adopts it once a round, lanes test it once a batch. Owner: a worker. Adopt, session and Record:
// its thread; everything else: the control thread.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "capture/session.h"
#include "pkt/batch.h"

namespace capture {

class Tap {
 public:
  Tap() = default;
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  // Once a round, before the lanes run.
  void Adopt(uint64_t now_ns) {
    now_ns_ = now_ns;
    if (wanted_.load(std::memory_order_acquire) != session_) [[unlikely]]
      Change();
  }
  bool on(Point point) const { return session_ != nullptr && session_->Wants(point); }
  Session* session() { return session_; }
  uint64_t now_ns() const { return now_ns_; }
  void Record(pkt::Batch& batch, Point point, Direction direction) {
    for (const pkt::Packet* packet : batch)
      session_->Add(packet->data, packet->len, *packet, point, direction, kNoReason, now_ns_);
  }

  void Start(std::unique_ptr<Session> session) {
    Stop();
    owned_.push_back(std::move(session));
    wanted_.store(owned_.back().get(), std::memory_order_release);
  }
  // The session that is on, or nullptr.
  Session* running() { return wanted_.load(std::memory_order_relaxed); }
  // Waits for the worker's next round, but not for one that hangs: then the session is freed by a
  // later call, or with the tap.
  void Stop();

 private:
  // The order of the two accesses is Stop's in reverse: either it sees what we took, or we see that
  // it is not wanted any more.
  void Change() {
    do {
      session_ = wanted_.load();
      adopted_.store(session_);
    } while (wanted_.load() != session_);
  }

  Session* session_ = nullptr;
  uint64_t now_ns_ = 0;
  std::atomic<Session*> wanted_{nullptr};
  std::atomic<Session*> adopted_{nullptr};
  std::vector<std::unique_ptr<Session>> owned_;
};

}  // namespace capture
