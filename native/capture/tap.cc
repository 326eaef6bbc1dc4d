#include "capture/tap.h"

#include <chrono>
#include <thread>

namespace capture {

namespace {

constexpr int kPatienceMs = 30;  // Three sleeps of an idle worker.

}  // namespace

void Tap::Stop() {
  wanted_.store(nullptr);
  for (int ms = 0; ms < kPatienceMs && adopted_.load() != nullptr; ++ms)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const Session* used = adopted_.load();
  std::erase_if(owned_, [used](const auto& session) { return session.get() != used; });
}

}  // namespace capture
