// A program is woken once for each time it asked, also for what came before it asked, and never
// after the watcher has gone.
#include "library/readiness.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace library {
namespace {

bool Reaches(const std::atomic<int>& count, int wanted) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (count.load() < wanted) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(ReadinessTest, WakesOncePerRequest) {
  base::UniqueFd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  std::atomic<int> woken{0};
  auto watching = std::move(Readiness::Watch(event.get(), [&woken] { ++woken; })).value();
  const uint64_t one = 1;
  ASSERT_EQ(write(event.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  for (int request = 1; request <= 1000; ++request) {
    watching->Arm();
    ASSERT_TRUE(Reaches(woken, request));
  }
  EXPECT_EQ(woken.load(), 1000);
}

TEST(ReadinessTest, IsSilentOnceItIsGone) {
  base::UniqueFd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const uint64_t one = 1;
  for (int round = 0; round < 200; ++round) {
    std::atomic<bool> gone{false}, late{false};
    auto watching = std::move(Readiness::Watch(event.get(), [&] {
                      if (gone) late = true;
                    })).value();
    watching->Arm();
    if (round % 2 == 0) ASSERT_GT(write(event.get(), &one, sizeof one), 0);
    watching.reset();
    gone = true;
    EXPECT_FALSE(late);
  }
}

}  // namespace
}  // namespace library
