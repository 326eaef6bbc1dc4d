// The two halves of request_load. Each reads its own arguments and returns the exit code.
#pragma once

#include <cstdint>

namespace tools {

inline constexpr uint32_t kRequestBytesMax = 16384;

int RequestServe(int argc, char** argv);
int RequestAsk(int argc, char** argv);

}  // namespace tools
