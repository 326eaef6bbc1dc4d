// A worker: one thread that runs both lanes, writes its heartbeat, and sleeps when there is nothing
// to do. Owner: the data plane. Start and Stop on the control thread; everything else on the
// worker's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "capture/tap.h"
#include "engine/lane.h"
#include "engine/rest.h"
#include "fwd/publisher.h"
#include "pkt/frame_pool.h"
#include "port/port.h"

namespace engine {

struct WorkerOptions {
  uint32_t index = 0;                // Seat in the publisher.
  uint32_t workers = 1;              // Of the data plane.
  uint32_t busy_poll_us = 0;         // Spin this long before sleeping.
  int cpu = -1;                      // Runs there only; -1: wherever it may.
  uint64_t* heartbeat_ns = nullptr;  // Where the BPF programs look; may be null (no steering).
};

class Worker {
 public:
  static base::Result<std::unique_ptr<Worker>> Create(const WorkerOptions& options,
                                                      port::Port& overlay, port::Port& underlay,
                                                      fwd::Publisher& publisher);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  base::Status Start();  // Fails when it may not run on its CPU.
  void Stop();           // Idempotent; returns when the thread has ended.

  const EncapLane& encap() const { return encap_; }
  const DecapLane& decap() const { return decap_; }
  capture::Tap& tap() { return tap_; }
  // False once a port's device is gone for good: the thread has ended, and beats no more.
  bool alive() const { return !lost_.load(std::memory_order_relaxed); }
  uint64_t heartbeat_ns() const { return beat_ns_.load(std::memory_order_relaxed); }
  // Frames of the worker's own pool, as of its last round (any thread).
  uint32_t frames_total() const { return segments_->frames(); }
  uint32_t frames_free() const { return frames_free_.load(std::memory_order_relaxed); }

 private:
  Worker(const WorkerOptions& options, port::Port& overlay, port::Port& underlay,
         fwd::Publisher& publisher, std::unique_ptr<pkt::FramePool> segments,
         std::unique_ptr<pkt::FramePool> big, base::UniqueFd wake);
  void Loop();
  uint64_t Beat();
  void GiveUp();

  WorkerOptions options_;
  port::Port& overlay_;
  port::Port& underlay_;
  fwd::Publisher& publisher_;
  std::unique_ptr<pkt::FramePool> segments_;  // Frames that segmentation and fragmentation fill.
  std::unique_ptr<pkt::FramePool> big_;       // Frames that coalescing fills.
  capture::Tap tap_;
  EncapLane encap_;
  DecapLane decap_;
  base::UniqueFd wake_;  // eventfd: Stop interrupts the sleep.
  Rest rest_;
  std::atomic<uint64_t> beat_ns_{0};
  std::atomic<uint32_t> frames_free_{0};
  std::atomic<bool> lost_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace engine
