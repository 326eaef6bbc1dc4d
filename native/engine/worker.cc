// The round of a worker:
//   1. heartbeat            3. overlay burst: encap, transmit     5. ports flush (kick, reap)
//   2. adopt the table      4. underlay burst: decap, transmit    6. rest (engine/rest.h)
#include "engine/worker.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/clock.h"

namespace engine {

namespace {

// The kernel's own VXLAN path runs in softirq, before every process. A worker that waits in line
// behind a busy pod would lose to it exactly when it matters; so it asks for the front of the line,
// and goes on without where it may not.
constexpr int kNice = -15;
constexpr uint32_t kSegmentFrames = 512;
constexpr uint32_t kSegmentFrameBytes = 10240;  // Jumbo underlay (9000) with headers and headroom.
constexpr uint32_t kBigFrames = pkt::kBatchMax;
constexpr uint32_t kBigFrameBytes =
    34 * 2048;  // One super-packet of 64 KiB with headers and headroom.
static_assert(kBigFrameBytes >= pkt::kSuperPacketMax + pkt::kHeadroomBytes);

}  // namespace

base::Result<std::unique_ptr<Worker>> Worker::Create(const WorkerOptions& options,
                                                     port::Port& overlay, port::Port& underlay,
                                                     fwd::Publisher& publisher) {
  auto segments = pkt::FramePool::Create(kSegmentFrames, kSegmentFrameBytes);
  if (!segments.ok()) return segments.error();
  auto big = pkt::FramePool::Create(kBigFrames, kBigFrameBytes);
  if (!big.ok()) return big.error();
  base::UniqueFd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.valid()) {
    return base::SystemError("WORKER_START_FAILED", "eventfd",
                             "raise the open-files limit (ulimit -n)");
  }
  return std::unique_ptr<Worker>(new Worker(options, overlay, underlay, publisher,
                                            std::move(segments).value(), std::move(big).value(),
                                            std::move(wake)));
}

Worker::Worker(const WorkerOptions& options, port::Port& overlay, port::Port& underlay,
               fwd::Publisher& publisher, std::unique_ptr<pkt::FramePool> segments,
               std::unique_ptr<pkt::FramePool> big, base::UniqueFd wake)
    : options_(options),
      overlay_(overlay),
      underlay_(underlay),
      publisher_(publisher),
      segments_(std::move(segments)),
      big_(std::move(big)),
      encap_(overlay, underlay, *segments_, *big_, tap_, nullptr, options.workers),
      decap_(underlay, overlay, *segments_, *big_, tap_),
      wake_(std::move(wake)),
      rest_(overlay.wait_fd(), underlay.wait_fd(), wake_.get(), options.busy_poll_us) {
  Beat();  // Steering may be attached before the thread has had its first turn.
}

Worker::~Worker() { Stop(); }

base::Status Worker::Start() {
  thread_ = std::thread([this] { Loop(); });
  if (options_.cpu < 0) return base::Ok();
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(options_.cpu), &cpus);
  errno = pthread_setaffinity_np(thread_.native_handle(), sizeof cpus, &cpus);
  if (errno == 0) return base::Ok();
  const base::Error refused = base::SystemError(
      "WORKER_CPU", "pthread_setaffinity_np(CPU " + std::to_string(options_.cpu) + ")",
      "this machine, or the cpuset of this process, has no such CPU; see "
      "/proc/self/status, Cpus_allowed_list");
  Stop();
  return refused;
}

void Worker::Stop() {
  stopping_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

uint64_t Worker::Beat() {
  const uint64_t now = base::MonotonicNs();
  beat_ns_.store(now, std::memory_order_relaxed);
  // The BPF programs read this word from other CPUs; one plain aligned store is all they need.
  if (options_.heartbeat_ns != nullptr)
    std::atomic_ref<uint64_t>(*options_.heartbeat_ns).store(now, std::memory_order_relaxed);
  return now;
}

void Worker::Loop() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
  pthread_setname_np(pthread_self(), "ripstop-worker");
  rest_.Begin();
  Look look;
  while (!stopping_.load(std::memory_order_acquire)) {
    if (rest_.hopeless()) {
      GiveUp();
      break;
    }
    const uint64_t now = Beat();
    const fwd::Snapshot* table = publisher_.Adopt(options_.index);
    tap_.Adopt(now);
    Round round;
    if (look.overlay) round.frames += encap_.Run(table, now);
    if (look.underlay) round.frames += decap_.Run(table, now);
    overlay_.Flush();
    underlay_.Flush();
    frames_free_.store(segments_->available(), std::memory_order_relaxed);
    round.packets = encap_.counters().rx_packets.Read() + decap_.counters().rx_packets.Read();
    round.bytes = encap_.counters().rx_bytes.Read() + decap_.counters().rx_bytes.Read();
    look = {};
    if (rest_.GoOn(round, now)) continue;
    publisher_.Leave(options_.index);
    look = rest_.Sleep(now);
  }
  publisher_.Leave(options_.index);
  encap_.End();
  decap_.End();
}

// Packets take the kernel path from here on, and the agent sees that a worker has stopped.
void Worker::GiveUp() {
  lost_.store(true, std::memory_order_relaxed);
  if (options_.heartbeat_ns != nullptr)
    std::atomic_ref<uint64_t>(*options_.heartbeat_ns).store(0, std::memory_order_relaxed);
}

}  // namespace engine
