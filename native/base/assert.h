// Assertions for bugs, on in every build: a wrong data plane must stop and let the kernel path take
// over.
#pragma once

#include <cstdio>
#include <cstdlib>

#define RS_ASSERT(condition)                                                               \
  do {                                                                                     \
    if (__builtin_expect(!(condition), 0)) {                                               \
      std::fprintf(stderr, "ripstop: assertion failed at %s:%d: %s\n", __FILE__, __LINE__, \
                   #condition);                                                            \
      std::abort();                                                                        \
    }                                                                                      \
  } while (0)
