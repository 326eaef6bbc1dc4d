// A number that nobody outside knows. Peers choose addresses and MACs; how tables hash them must
// not be theirs to predict. Control thread.
#pragma once

#include <sys/random.h>

#include <cstdint>

#include "base/clock.h"

namespace base {

inline uint64_t RandomSalt() {
  uint64_t salt = 0;
  if (getrandom(&salt, sizeof salt, GRND_NONBLOCK) != sizeof salt) salt = MonotonicNs();
  return salt;
}

}  // namespace base
