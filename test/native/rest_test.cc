// How a worker rests. Whether it slept in poll or paused is told by what it says afterwards: poll
// names the side that has something, after a pause both are worth a look. So no test here measures
// time.
#include "engine/rest.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace {

using engine::Look;
using engine::Rest;
using engine::Round;

class Resting : public ::testing::Test {
 protected:
  Resting() { Ready(overlay_); }
  static void Ready(const base::UniqueFd& fd) {
    const uint64_t one = 1;
    ASSERT_EQ(write(fd.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  // One cycle: a round with so much, then sleep. True: it paused; false: it waited for the overlay,
  // which is ready.
  bool Pauses(Rest& rest, uint32_t frames, uint64_t packets, uint64_t bytes, uint64_t cycle_ns) {
    now_ns_ += cycle_ns;
    packets_ += packets;
    bytes_ += bytes;
    EXPECT_FALSE(rest.GoOn(Round{frames, packets_, bytes_}, now_ns_));
    const Look look = rest.Sleep(now_ns_);
    EXPECT_TRUE(look.overlay);
    return look.underlay;
  }
  bool PausesAfterMany(uint32_t frames, uint64_t packets, uint64_t bytes, uint64_t cycle_ns) {
    Rest rest(overlay_.get(), underlay_.get(), wake_.get(), 0);
    bool paused = false;
    for (int i = 0; i < 10; ++i) paused = Pauses(rest, frames, packets, bytes, cycle_ns);
    return paused;
  }

  base::UniqueFd overlay_{eventfd(0, EFD_NONBLOCK)};
  base::UniqueFd underlay_{eventfd(0, EFD_NONBLOCK)};
  base::UniqueFd wake_{eventfd(0, EFD_NONBLOCK)};
  uint64_t now_ns_ = 1'000'000;
  uint64_t packets_ = 0;
  uint64_t bytes_ = 0;
};

TEST_F(Resting, ATrickleOfSmallPacketsIsMetWithPauses) {
  EXPECT_TRUE(PausesAfterMany(3, 3, 3 * 106, 60'000));
  // Coalesced by the peer: one frame, several packets.
  EXPECT_TRUE(PausesAfterMany(1, 4, 400, 60'000));
}

TEST_F(Resting, ThinTrafficIsAnsweredAtOnce) {
  EXPECT_FALSE(PausesAfterMany(3, 3, 3 * 106, 1'000'000));
}

TEST_F(Resting, ARequestAndItsAnswerAreNeverHeldUp) {
  EXPECT_FALSE(PausesAfterMany(1, 1, 106, 30'000));
}

TEST_F(Resting, BulkIsNeverHeldUp) { EXPECT_FALSE(PausesAfterMany(4, 180, 4 * 64'000, 60'000)); }

TEST_F(Resting, OneBurstIsNoTrickleAndAQuietCycleEndsOne) {
  Rest rest(overlay_.get(), underlay_.get(), wake_.get(), 0);
  EXPECT_FALSE(Pauses(rest, 8, 8, 800, 60'000));
  for (int i = 0; i < 10; ++i) Pauses(rest, 3, 3, 300, 60'000);
  EXPECT_TRUE(Pauses(rest, 3, 3, 300, 60'000));
  EXPECT_FALSE(Pauses(rest, 1, 1, 100, 60'000));
}

TEST_F(Resting, ARoundThatHardlyEmptiedThePortsIsFollowedByAnother) {
  Rest rest(overlay_.get(), underlay_.get(), wake_.get(), 0);
  EXPECT_TRUE(rest.GoOn(Round{64, 64, 6400}, 1));
  EXPECT_FALSE(rest.GoOn(Round{1, 65, 6500}, 2));
  EXPECT_FALSE(rest.GoOn(Round{0, 65, 6500}, 3));
}

TEST_F(Resting, BusyPollGoesOnUntilItsTimeIsOver) {
  Rest rest(overlay_.get(), underlay_.get(), wake_.get(), 50);
  EXPECT_TRUE(rest.GoOn(Round{1, 1, 100}, 1000));
  EXPECT_TRUE(rest.GoOn(Round{0, 1, 100}, 2000));
  EXPECT_TRUE(rest.GoOn(Round{0, 1, 100}, 51'000));
  EXPECT_FALSE(rest.GoOn(Round{0, 1, 100}, 53'000));
}

TEST_F(Resting, WhoAsksForBusyPollGetsNoPauses) {
  Rest rest(overlay_.get(), underlay_.get(), wake_.get(), 1);
  bool paused = false;
  for (int i = 0; i < 10; ++i) {
    now_ns_ += 60'000;
    packets_ += 3;
    bytes_ += 300;
    rest.GoOn(Round{3, packets_, bytes_}, now_ns_);
    paused |= rest.Sleep(now_ns_).underlay;
  }
  EXPECT_FALSE(paused);
}

TEST_F(Resting, APortThatStaysInErrorIsHopelessOneThatRecoversIsNot) {
  base::UniqueFd removed;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  base::UniqueFd read_end{ends[0]};
  removed.Reset(ends[1]);
  read_end.Reset();  // A pipe without a reader is in error for its writer.
  Rest rest(removed.get(), underlay_.get(), wake_.get(), 0);
  Ready(wake_);  // Naps end at once.
  for (int i = 0; i < 19; ++i) rest.Sleep(1);
  EXPECT_FALSE(rest.hopeless());
  rest.Sleep(1);
  EXPECT_TRUE(rest.hopeless());
}

TEST_F(Resting, StopWakesASleeper) {
  base::UniqueFd silent{eventfd(0, EFD_NONBLOCK)};
  Rest rest(silent.get(), underlay_.get(), wake_.get(), 0);
  Ready(wake_);
  const Look look = rest.Sleep(1);
  EXPECT_FALSE(look.overlay || look.underlay);
}

}  // namespace
